//! Streams as engines send them, and streams as nobody should.

use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use proptest::prelude::*;

use super::*;

fn open(path: &Path) -> Dir {
    Dir::open_ambient_dir(path, ambient_authority()).unwrap()
}

/// One entry, with a sum that is right.
fn entry(kind: u8, name: &str, target: &str, content: &[u8]) -> Vec<u8> {
    let mut block = [0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[157..157 + target.len()].copy_from_slice(target.as_bytes());
    let mut put = |at: usize, text: &str| block[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(100, "0000755");
    put(124, &format!("{:011o}", content.len()));
    put(136, &format!("{:011o}", 1_000_000));
    put(257, "ustar\0");
    block[156] = kind;
    seal(&mut block);
    let mut bytes = block.to_vec();
    bytes.extend_from_slice(content);
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

fn seal(block: &mut [u8; 512]) {
    block[148..156].fill(b' ');
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
}

fn archive(entries: &[Vec<u8>]) -> Vec<u8> {
    [entries.concat(), vec![0; 1024]].concat()
}

const RULES: Rules<'static> =
    Rules { below: "w", leave: &[".git"], bounds: Bounds { entries: 100, bytes: 1 << 20, depth: 10 } };

fn unpack(entries: &[Vec<u8>], into: &Path) -> Result<Unpacked, ArchiveError> {
    mirror(&archive(entries)[..], &open(into), &RULES)
}

#[test]
fn what_would_be_written_outside_or_twice_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let (into, outside) = (dir.path().join("into"), dir.path().join("outside"));
    std::fs::create_dir(&outside).unwrap();
    let top = || entry(b'5', "w/", "", b"");
    let file = |name: &str| entry(b'0', name, "", b"x");
    let cases: Vec<(&str, Vec<Vec<u8>>)> = vec![
        ("above", vec![top(), file("w/../outside/x")]),
        ("above all", vec![top(), file("../outside/x")]),
        ("absolute", vec![top(), file("/etc/x")]),
        ("elsewhere", vec![top(), file("v/x")]),
        ("a part that is none", vec![top(), file("w//x")]),
        ("a dot", vec![top(), file("w/./x")]),
        ("through a link", vec![top(), entry(b'2', "w/l", outside.to_str().unwrap(), b""), file("w/l/x")]),
        ("through a file", vec![top(), file("w/f"), file("w/f/x")]),
        ("no folder before it", vec![top(), file("w/a/x")]),
        ("twice", vec![top(), file("w/f"), file("w/f")]),
        ("link, then file", vec![top(), entry(b'2', "w/l", outside.to_str().unwrap(), b""), file("w/l")]),
        ("folder, then link", vec![top(), entry(b'5', "w/d/", "", b""), entry(b'2', "w/d", "../../outside", b"")]),
        ("hard link outside", vec![top(), entry(b'1', "w/h", "../outside/x", b"")]),
        ("hard link to what is not there", vec![top(), entry(b'1', "w/h", "w/none", b"")]),
        ("hard link to a folder", vec![top(), entry(b'5', "w/d", "", b""), entry(b'1', "w/h", "w/d", b"")]),
        ("link to nothing", vec![top(), entry(b'2', "w/l", "", b"")]),
        ("deep", vec![top(), file(&format!("w/{}x", "a/".repeat(12)))]),
        ("unknown kind", vec![top(), entry(b'Z', "w/x", "", b"")]),
    ];
    for (what, entries) in cases {
        std::fs::create_dir(&into).unwrap();
        let refused = unpack(&entries, &into);
        let fits = matches!(refused, Err(ArchiveError::Hostile { .. } | ArchiveError::Damaged(_)));
        assert!(fits, "{what}: {refused:?}");
        assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0, "{what}");
        std::fs::remove_dir_all(&into).unwrap();
    }
}

#[test]
fn an_earlier_link_in_the_folder_leads_no_write_out_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (into, outside) = (dir.path().join("into"), dir.path().join("outside"));
    std::fs::create_dir_all(&into).unwrap();
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("kept"), "kept").unwrap();
    symlink(&outside, into.join("d")).unwrap();
    symlink(outside.join("kept"), into.join("f")).unwrap();
    let entries =
        [entry(b'5', "w/d", "", b""), entry(b'0', "w/d/x", "", b"x"), entry(b'0', "w/f", "", b"new")].to_vec();
    unpack(&entries, &into).unwrap();
    assert_eq!(std::fs::read_to_string(outside.join("kept")).unwrap(), "kept");
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(std::fs::read_to_string(into.join("d/x")).unwrap(), "x");
    assert!(into.join("f").symlink_metadata().unwrap().is_file());
}

#[test]
fn streams_that_break_off_lie_or_never_end_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let whole = archive(&[entry(b'5', "w/", "", b""), entry(b'0', "w/f", "", &[7; 700])]);
    for cut in [0, 1, 511, 513, 1024, 1030, 1800, 2047] {
        let cut = mirror(&whole[..cut], &open(dir.path()), &RULES);
        assert!(matches!(cut, Err(ArchiveError::Cut)), "{cut:?}");
    }
    let mut wrong = whole.clone();
    wrong[700] ^= 1;
    assert!(matches!(mirror(&wrong[..], &open(dir.path()), &RULES), Err(ArchiveError::Damaged(_))));
    let many: Vec<Vec<u8>> = (0..101).map(|n| entry(b'0', &format!("w/{n}"), "", b"")).collect();
    assert!(matches!(unpack(&many, dir.path()), Err(ArchiveError::TooMuch { what: "entries", .. })));
    let mut long = entry(b'0', "w/long", "", b"")[..512].to_vec();
    long[124..136].copy_from_slice(b"\x80\0\0\0\0\0\0\0\x7f\0\0\0");
    let mut block: [u8; 512] = long.try_into().unwrap();
    seal(&mut block);
    assert!(matches!(unpack(&[block.to_vec()], dir.path()), Err(ArchiveError::TooMuch { what: "bytes", .. })));
    let endless = std::iter::repeat_n(entry(b'g', "pax", "", b""), 5000).collect::<Vec<_>>();
    assert!(matches!(unpack(&endless, dir.path()), Err(ArchiveError::TooMuch { .. })));
    let mut negative: [u8; 512] = entry(b'0', "w/n", "", b"")[..512].try_into().unwrap();
    negative[124] = 0xff;
    seal(&mut negative);
    assert!(matches!(unpack(&[negative.to_vec()], dir.path()), Err(ArchiveError::Damaged(_))));
}

#[test]
fn extended_headers_name_size_and_time_what_follows() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("w/{}", "n".repeat(200));
    let records =
        ["path=".to_owned() + &long, "mtime=1000000000.123456789".to_owned(), "SCHILY.xattr.user.x=y\n".to_owned()];
    let records = records.iter().fold(String::new(), |all, text| {
        let length = text.len() + 2;
        let digits = (length + length.to_string().len()).to_string().len();
        all + &format!("{} {text}\n", length + digits)
    });
    let gnu = [entry(b'L', "././@LongLink", "", format!("w/{}\0", "g".repeat(180)).as_bytes())];
    let entries = [
        entry(b'x', "pax", "", records.as_bytes()),
        entry(b'0', "short", "", b"pax"),
        gnu[0].clone(),
        entry(b'0', "s", "", b"gnu"),
    ];
    unpack(&entries, dir.path()).unwrap();
    let meta = dir.path().join("n".repeat(200)).metadata().unwrap();
    assert_eq!((meta.mtime(), meta.mtime_nsec()), (1_000_000_000, 123_456_789));
    assert_eq!(std::fs::read_to_string(dir.path().join("g".repeat(180))).unwrap(), "gnu");
    for bad in ["7 path", "99 path=x\n", "x path=y\n", "9 nothing\n", "11 size=-1\n\n", "0 a=b\n"] {
        let entries = [entry(b'x', "pax", "", bad.as_bytes()), entry(b'0', "w/x", "", b"")];
        assert!(matches!(unpack(&entries, dir.path()), Err(ArchiveError::Damaged(_))), "{bad:?}");
    }
}

#[test]
fn nothing_that_gives_rights_or_reaches_hardware_comes_out() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("sda"), "stood here before").unwrap();
    let mut setuid: [u8; 512] = entry(b'0', "w/setuid", "", b"")[..512].try_into().unwrap();
    setuid[100..108].copy_from_slice(b"0006777\0");
    seal(&mut setuid);
    let entries = [
        setuid.to_vec(),
        entry(b'3', "w/null", "", b""),
        entry(b'4', "w/sda", "", b""),
        entry(b'6', "w/pipe", "", b""),
    ];
    let done = unpack(&entries, dir.path()).unwrap();
    assert_eq!(dir.path().join("setuid").metadata().unwrap().permissions().mode() & 0o7777, 0o777);
    let names: Vec<String> = done.left_out.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["null", "sda"]);
    assert!(!dir.path().join("null").exists() && !dir.path().join("sda").exists());
    assert!(dir.path().join("pipe").metadata().unwrap().file_type().is_fifo());
}

#[test]
fn what_is_the_same_is_left_alone_and_everything_else_is_seen_to_have_changed() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let exact = std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000, 5);
    for (name, text) in [("same", "12345"), ("sly", "12345"), ("newer", "12345"), ("gone", "x"), (".git", "ours")] {
        std::fs::write(at(name), text).unwrap();
        let age = if name == "newer" { exact - std::time::Duration::from_secs(9) } else { exact };
        std::fs::File::options().append(true).open(at(name)).unwrap().set_modified(age).unwrap();
    }
    std::fs::create_dir_all(at("folder/deep")).unwrap();
    let before = |name: &str| (at(name).metadata().unwrap().mtime_nsec(), at(name).metadata().unwrap().ino());
    let (same, sly) = (before("same"), before("sly"));
    let entries = [
        entry(b'5', "w/", "", b""),
        entry(b'0', "w/.git", "", b"theirs"),
        entry(b'0', "w/same", "", b"12345"),
        entry(b'0', "w/sly", "", b"12#45"),
        entry(b'0', "w/newer", "", b"12345"),
        entry(b'0', "w/folder", "", b"a file now"),
        entry(b'1', "w/twin", "w/same", b""),
    ];
    let done = unpack(&entries, dir.path()).unwrap();
    assert_eq!((done.kept, done.written, done.removed), (1, 4, 1));
    assert_eq!(before("same"), same, "the same file, with its exact time");
    assert_eq!(std::fs::read_to_string(at("sly")).unwrap(), "12#45", "same size, same second, other bytes");
    assert_ne!(before("sly").0, sly.0, "who remembers its time sees that it changed");
    assert_eq!(at("newer").metadata().unwrap().mtime(), 1_000_000);
    assert_eq!(std::fs::read_to_string(at("folder")).unwrap(), "a file now");
    assert_eq!(std::fs::read_to_string(at(".git")).unwrap(), "ours", "passed over on both sides");
    assert!(!at("gone").exists());
    assert_eq!(at("twin").metadata().unwrap().ino(), same.1);
}

#[test]
fn a_change_in_the_middle_of_a_long_file_is_written_whole_and_holes_stay_holes() {
    let dir = tempfile::tempdir().unwrap();
    let mut content = vec![7_u8; 300_000];
    unpack(&[entry(b'0', "w/f", "", &content)], dir.path()).unwrap();
    content[200_000] = 8;
    let done = unpack(&[entry(b'0', "w/f", "", &content)], dir.path()).unwrap();
    assert_eq!((done.kept, done.written), (0, 1));
    assert_eq!(std::fs::read(dir.path().join("f")).unwrap(), content);
    unpack(&[entry(b'0', "w/hole", "", &vec![0; 1 << 20])], dir.path()).unwrap();
    let meta = dir.path().join("hole").metadata().unwrap();
    assert_eq!(meta.len(), 1 << 20);
    assert!(meta.blocks() * 512 < 1 << 19, "{} blocks", meta.blocks());
}

#[test]
fn folders_without_rights_are_filled_and_get_their_mode_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("d")).unwrap();
    std::fs::set_permissions(dir.path().join("d"), std::fs::Permissions::from_mode(0o500)).unwrap();
    let mut shut: [u8; 512] = entry(b'5', "w/d/", "", b"")[..512].try_into().unwrap();
    shut[100..108].copy_from_slice(b"0000500\0");
    seal(&mut shut);
    unpack(&[shut.to_vec(), entry(b'0', "w/d/x", "", b"x")], dir.path()).unwrap();
    let meta = dir.path().join("d").metadata().unwrap();
    assert_eq!((meta.permissions().mode() & 0o777, meta.mtime()), (0o500, 1_000_000));
    unpack(&[], dir.path()).unwrap();
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "and can be removed");
}

#[test]
fn a_folder_that_is_packed_comes_out_as_it_was() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let name = std::ffi::OsStr::from_bytes(b"odd \n\xff");
    let deep = from.path().join("a".repeat(120)).join("b".repeat(120));
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join(name), "deep").unwrap();
    std::fs::write(from.path().join("program"), "#!").unwrap();
    std::fs::set_permissions(from.path().join("program"), std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::create_dir(from.path().join("empty")).unwrap();
    symlink(format!("../{}", "t".repeat(150)), from.path().join("link")).unwrap();
    let mut bytes = Vec::new();
    let loads = [
        Load { from: Some(open(from.path())), below: "w".to_owned(), owner: (4, 5) },
        Load { from: None, below: "home".to_owned(), owner: (6, 7) },
    ];
    pack(&loads, &mut bytes).unwrap();
    // The second folder is another's: with its entries the stream is not what was asked for.
    assert!(matches!(mirror(&bytes[..], &open(to.path()), &RULES), Err(ArchiveError::Hostile { .. })));
    let mut bytes = Vec::new();
    pack(&loads[..1], &mut bytes).unwrap();
    mirror(&bytes[..], &open(to.path()), &RULES).unwrap();
    let there = to.path().join("a".repeat(120)).join("b".repeat(120)).join(name);
    assert_eq!(std::fs::read_to_string(there).unwrap(), "deep");
    assert_eq!(to.path().join("program").metadata().unwrap().permissions().mode() & 0o777, 0o755);
    assert!(to.path().join("empty").is_dir());
    assert_eq!(std::fs::read_link(to.path().join("link")).unwrap().as_os_str().len(), 153);
    let again = mirror(&bytes[..], &open(to.path()), &RULES).unwrap();
    assert_eq!((again.written, again.kept, again.removed), (0, 3, 0));
}

proptest! {
    #[test]
    fn any_bytes_are_refused_or_stay_inside(noise in proptest::collection::vec(any::<(u16, u8)>(), 0..40)) {
        let dir = tempfile::tempdir().unwrap();
        let (into, beside) = (dir.path().join("into"), dir.path().join("beside"));
        std::fs::create_dir(&into).unwrap();
        std::fs::write(&beside, "kept").unwrap();
        let mut bytes = archive(&[
            entry(b'5', "w/", "", b""),
            entry(b'2', "w/l", "../beside", b""),
            entry(b'0', "w/f", "", b"12345"),
            entry(b'1', "w/h", "w/f", b""),
        ]);
        for (at, byte) in noise {
            let at = usize::from(at) % bytes.len();
            bytes[at] = byte;
            let block = at / 512 * 512;
            let sealed: &mut [u8; 512] = (&mut bytes[block..block + 512]).try_into().unwrap();
            // Half of the damage has a right sum.
            if byte % 2 == 0 { seal(sealed); }
        }
        let _ = mirror(&bytes[..], &open(&into), &RULES);
        prop_assert_eq!(std::fs::read_to_string(&beside).unwrap(), "kept");
        prop_assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
