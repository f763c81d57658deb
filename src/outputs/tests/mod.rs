//! The outputs room against friendly and hostile trees.

mod collect;
mod layers;
mod links;
mod manifest;
mod tree;
