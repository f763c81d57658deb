//! A tar stream of any bytes is refused or stays inside its folder. Every second header gets a right sum, so that the
//! fuzzer is not stopped by it.

#![no_main]

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use libfuzzer_sys::fuzz_target;
use soopervisor::archive::{Bounds, Rules, mirror};

fuzz_target!(|data: &[u8]| {
    let mut data = data.to_vec();
    for block in data.chunks_exact_mut(512).step_by(2) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
    let top = tempfile::tempdir().expect("a folder");
    let (into, beside) = (top.path().join("into"), top.path().join("beside"));
    std::fs::create_dir(&into).expect("a folder");
    std::fs::write(&beside, "kept").expect("a file");
    let dir = Dir::open_ambient_dir(&into, ambient_authority()).expect("a folder");
    let bounds = Bounds { entries: 100, bytes: 1 << 20, depth: 10 };
    let _ = mirror(&data[..], &dir, &Rules { below: "w", leave: &[".git"], bounds });
    assert_eq!(std::fs::read_to_string(&beside).expect("it is there"), "kept");
    assert_eq!(std::fs::read_dir(top.path()).expect("it is there").count(), 2);
});
