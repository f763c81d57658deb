//! What is assumed of the machine that runs a pipeline: its libc, kernel, processor and graphics driver.
//!
//! Nothing is detected: the container's libc decides, not the host's. What is assumed is part of the key.

use rattler_conda_types::{GenericVirtualPackage, Subdir, Version};
use rattler_virtual_packages::{Archspec, Cuda, LibC, Linux, VirtualPackages};

use super::Config;
use super::error::Problem;

/// Names that can be set, as in `CONDA_OVERRIDE_…` and config.yaml's `virtual-packages`.
pub(super) const NAMES: &[&str] = &["cuda", "glibc", "linux", "archspec"];

/// conda's baseline for the platform, with what this machine is told to assume instead.
pub(super) fn assumed(config: &Config, problems: &mut Vec<Problem>) -> Vec<GenericVirtualPackage> {
    let subdir = config.platform.parse().unwrap_or(Subdir::Linux64);
    let mut packages = VirtualPackages::baseline_for_platform(subdir);
    for (name, value) in &config.virtual_packages {
        let value = value.trim();
        if let Err(message) = set(&mut packages, name, value) {
            problems.push(Problem {
                entry: format!("{name}={value}"),
                message,
                help: Some(format!(
                    "set CONDA_OVERRIDE_{} (or `virtual-packages` in config.yaml) to a version such as `12.4`, or unset it",
                    name.to_uppercase()
                )),
            });
        }
    }
    packages.into_generic_virtual_packages().collect()
}

fn set(packages: &mut VirtualPackages, name: &str, value: &str) -> Result<(), String> {
    let version = || value.parse::<Version>().map_err(|_| "is not the version of a virtual package".to_owned());
    match name {
        "cuda" => packages.cuda = Some(Cuda { version: version()? }),
        "glibc" => packages.libc = Some(LibC { family: "glibc".to_owned(), version: version()? }),
        "linux" => packages.linux = Some(Linux { version: version()? }),
        "archspec" => packages.archspec = Some(Archspec::from_name(value)),
        _ => return Err(format!("is no virtual package; known are {}", NAMES.join(", "))),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pairs: &[(&str, &str)]) -> (Vec<String>, Vec<Problem>) {
        let mut config = Config::new("/nowhere".into());
        "linux-64".clone_into(&mut config.platform);
        config.virtual_packages = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let mut problems = Vec::new();
        let packages = assumed(&config, &mut problems);
        (packages.iter().map(ToString::to_string).collect(), problems)
    }

    #[test]
    fn only_what_was_set_differs_from_the_baseline() {
        let (baseline, _) = shown(&[]);
        assert!(baseline.iter().any(|package| package.contains("__glibc")), "{baseline:?}");
        assert!(!baseline.iter().any(|package| package.contains("__cuda")), "the host's driver is not asked");
        let (set, problems) = shown(&[("cuda", "12.4"), ("glibc", " 2.35 ")]);
        assert!(problems.is_empty());
        assert!(set.iter().any(|package| package.contains("__cuda") && package.contains("12.4")), "{set:?}");
        assert!(set.iter().any(|package| package.contains("__glibc") && package.contains("2.35")), "{set:?}");
        assert_eq!(set.len(), baseline.len() + 1);
    }

    #[test]
    fn what_is_no_version_or_no_package_is_said() {
        for pair in [("cuda", "new!"), ("gpu", "1")] {
            let (_, problems) = shown(&[pair]);
            assert_eq!(problems.len(), 1, "{pair:?}");
            assert!(problems[0].entry.contains(pair.1), "{problems:?}");
        }
    }
}
