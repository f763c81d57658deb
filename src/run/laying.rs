//! The run's folders and the snapshot in them: written, copied, or a kept one that the run's folder is laid over.

use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use tokio::task::JoinHandle;

use super::ending::Ending;
use super::event::Step;
use super::layers::{self, Layered};
use super::stop::Stop;
use super::telling::Telling;
use crate::engine::{Engine, EngineInfo};
use crate::outputs::{Baseline, Roots};
use crate::repo::{Checkout, Snapshots};
use crate::script::guest;
use crate::store::Folder;

/// The run's folders with the snapshot in them, or beside them.
pub(super) struct LaidOut {
    /// The folders.
    pub(super) roots: Arc<Roots>,
    /// What the snapshot holds.
    pub(super) baseline: Baseline,
    /// The kept snapshot, where it was not copied.
    pub(super) layered: Option<Layered>,
}

/// The run's own folders, empty: what a container is shown has to be there before it starts.
pub(super) struct Folders {
    work: Dir,
    output: Dir,
}

impl Folders {
    /// Makes them.
    ///
    /// # Errors
    /// When the disk is full or read-only.
    pub(super) fn make(folder: &Folder, owner: Option<(u32, u32)>) -> Result<Self, Stop> {
        let work = make_folder(&folder.work(), owner)?;
        let output = make_folder(&folder.output(), owner)?;
        make_folder(&folder.home(), owner)?;
        Ok(Self { work, output })
    }

    /// Takes away those that were made for somebody else; nothing is in them yet.
    ///
    /// # Errors
    /// When one cannot be removed.
    pub(super) fn unmake(folder: &Folder) -> Result<(), Stop> {
        [folder.work(), folder.output(), folder.home()].iter().try_for_each(|path| {
            std::fs::remove_dir(path).map_err(|error| Stop {
                causes: vec![error.to_string()],
                ..Stop::new(Ending::of_io(&error), format!("cannot remove the run's folder `{}`", path.display()))
            })
        })
    }

    /// Those of a test.
    #[cfg(test)]
    pub(super) fn below(folder: &Path) -> std::io::Result<Self> {
        let open = |name: &str| {
            std::fs::create_dir(folder.join(name))?;
            Dir::open_ambient_dir(folder.join(name), ambient_authority())
        };
        Ok(Self { work: open("work")?, output: open("output")? })
    }
}

/// What laying out needs, of its own: it goes on until it is done, whoever waits for it.
pub(super) struct Laying {
    /// The commit.
    pub(super) checkout: Arc<Checkout>,
    /// Whether a repository has to be around its files.
    pub(super) asks_git: bool,
    /// Where large ones are kept.
    pub(super) snapshots: PathBuf,
    /// The run's folder.
    pub(super) folder: Folder,
    /// Those in it.
    pub(super) folders: Folders,
    /// Who may lay one folder over another.
    pub(super) engine: Arc<dyn Engine>,
    /// What it says of itself.
    pub(super) info: EngineInfo,
    /// The image's id.
    pub(super) image: String,
    /// The user inside.
    pub(super) user: (u32, u32),
    /// Whose the files are, where that is another than this process.
    pub(super) owner: Option<(u32, u32)>,
}

/// What the snapshot is, and how many files it has.
pub(super) type Laid = Result<(LaidOut, u64), Stop>;

impl Laying {
    /// Writes the snapshot, or lays the run's folder over a kept one; on threads that may
    /// block.
    pub(super) async fn run(self) -> Laid {
        let Self { checkout, asks_git, snapshots, folder, folders, engine, info, image, user, owner } = self;
        let (of, at) = (Arc::clone(&checkout), Snapshots::at(snapshots.clone()));
        let kept = blocking(move || Ok(of.kept(&at, owner)?)).await?;
        let over = kept.is_some() && layers::possible(engine.as_ref(), &info, &image, user, &snapshots).await;
        let snapshots = Snapshots::at(snapshots);
        blocking(move || {
            let Folders { work, output } = folders;
            let (contents, layered) = match kept {
                Some(kept) if over => {
                    make_folder(&folder.layers(), None)?;
                    (kept.contents().clone(), Some(Layered::over(kept, folder.layers())))
                }
                kept => (checkout.lay_out(kept, &snapshots, &work, owner)?, None),
            };
            if asks_git {
                let files = layered.as_ref().map_or_else(|| folder.work(), |layered: &Layered| layered.lower.clone());
                checkout.add_git(&folder.work(), &files, owner)?;
            }
            let roots = Roots { work, output, guest_work: guest::WORK, guest_output: guest::OUTPUT };
            let files = contents.exported.files;
            let baseline = Baseline::of(contents.entries, contents.mtime_ns);
            Ok((LaidOut { roots: Arc::new(roots), baseline, layered }, files))
        })
        .await
    }
}

/// Waits for it, and tells.
///
/// # Errors
/// When the commit cannot be written.
pub(super) async fn laid_out(laying: &mut JoinHandle<Laid>, telling: &Telling) -> Result<LaidOut, Stop> {
    let (laid, files) = laying.await.map_err(|error| Stop::of(Ending::Internal, &error))??;
    let how = if laid.layered.is_some() { " of a kept snapshot, not copied" } else { "" };
    telling.progress(Step::Prepare, format!("snapshot: {}{how}", super::figures::count(files, "file")));
    Ok(laid)
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T, Stop> + Send + 'static) -> Result<T, Stop> {
    tokio::task::spawn_blocking(work).await.map_err(|error| Stop::of(Ending::Internal, &error))?
}

fn make_folder(path: &Path, owner: Option<(u32, u32)>) -> Result<Dir, Stop> {
    let make = || {
        std::fs::DirBuilder::new().mode(0o755).create(path)?;
        if let Some((uid, gid)) = owner {
            std::os::unix::fs::chown(path, Some(uid), Some(gid))?;
        }
        Dir::open_ambient_dir(path, ambient_authority())
    };
    make().map_err(|error: std::io::Error| Stop {
        causes: vec![error.to_string()],
        ..Stop::new(Ending::of_io(&error), format!("cannot make the run's folder `{}`", path.display()))
    })
}
