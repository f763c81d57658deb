//! Whose request is answered next, where a test says so: two programs in every order that it likes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// An order of requests, each by the token that it shows. Who is not in it waits for nobody.
#[derive(Debug, Default)]
pub struct Turns {
    order: Mutex<VecDeque<String>>,
    bell: Notify,
}

impl Turns {
    pub fn new(order: impl IntoIterator<Item = String>) -> Self {
        Self { order: Mutex::new(order.into_iter().collect()), bell: Notify::new() }
    }

    fn order(&self) -> MutexGuard<'_, VecDeque<String>> {
        self.order.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for one's turn.
    pub async fn wait(&self, token: &str) {
        loop {
            let mut rung = std::pin::pin!(self.bell.notified());
            rung.as_mut().enable();
            {
                let order = self.order();
                if !order.iter().any(|one| one == token) || order.front().is_some_and(|first| first == token) {
                    return;
                }
            }
            rung.await;
        }
    }

    /// The turn was taken, and its request answered.
    pub fn taken(&self, token: &str) {
        let mut order = self.order();
        if order.front().is_some_and(|first| first == token) {
            order.pop_front();
        }
        drop(order);
        self.bell.notify_waiters();
    }

    /// Who asks nothing more leaves its turns to the others.
    pub fn leave(&self, token: &str) {
        self.order().retain(|one| one != token);
        self.bell.notify_waiters();
    }
}
