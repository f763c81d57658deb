//! A WebDAV server in small that is as careless as Apache's: it looks whether a name is free and gives it in two steps,
//! whatever `Overwrite` says. Folders it makes once. It puts files together of pieces, as Nextcloud does. Kept in memory; gone
//! with its test.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use tokio::sync::Barrier;

/// Between looking and giving; everybody who asks within it finds the name free.
const CARELESS: Duration = Duration::from_millis(15);

#[derive(Default)]
struct Tree {
    /// With the time at which each was written.
    files: BTreeMap<String, (Bytes, Timestamp)>,
    folders: BTreeSet<String>,
    /// How often a name was given that was somebody else's by then.
    lost: usize,
    /// Every file that was sent: where to, and how long.
    sent: Vec<(String, usize)>,
    /// Once it has so many files, nobody hears of the next ones any more.
    silent_after: Option<usize>,
    /// Where everybody who has looked waits for the others before anything is given.
    meeting: Option<Arc<Barrier>>,
}

/// The server.
#[derive(Clone, Default)]
pub(crate) struct Careless(Arc<Mutex<Tree>>);

impl Careless {
    /// Starts one; it, and its address.
    pub(crate) async fn start() -> (Self, String) {
        let server = Self::default();
        server.tree().folders.insert(String::new());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let any_length = axum::extract::DefaultBodyLimit::disable();
        let router = axum::Router::new().fallback(answer).layer(any_length).with_state(server.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (server, address)
    }

    /// How often it let a second one through.
    pub(crate) fn lost(&self) -> usize {
        self.tree().lost
    }

    /// From now on nobody is given a name before so many have found theirs free.
    pub(crate) fn lets_meet(&self, many: usize) {
        self.tree().meeting = Some(Arc::new(Barrier::new(many)));
    }

    /// There are these folders.
    pub(crate) fn has(&self, folders: &[&str]) {
        self.tree().folders.extend(folders.iter().map(|&folder| folder.to_owned()));
    }

    /// Every file that was sent so far: where to, and how long.
    pub(crate) fn sent(&self) -> Vec<(String, usize)> {
        self.tree().sent.clone()
    }

    /// Once it was sent so many files, it is silent.
    pub(crate) fn silent_after(&self, files: Option<usize>) {
        self.tree().silent_after = files;
    }

    /// All that is there.
    pub(crate) fn files(&self) -> BTreeMap<String, Bytes> {
        self.tree().files.iter().map(|(name, (bytes, _))| (name.clone(), bytes.clone())).collect()
    }

    /// What lies below a folder is gone.
    pub(crate) fn forget(&self, folder: &str) {
        let (mut tree, below) = (self.tree(), format!("{folder}/"));
        tree.files.retain(|name, _| !name.starts_with(&below));
        tree.folders.retain(|name| !name.starts_with(&below));
    }

    /// Folders below a folder.
    pub(crate) fn folders_below(&self, folder: &str) -> usize {
        self.tree().folders.iter().filter(|name| name.starts_with(&format!("{folder}/"))).count()
    }

    fn is_silent(&self) -> bool {
        let tree = self.tree();
        tree.silent_after.is_some_and(|most| tree.sent.len() >= most)
    }

    fn tree(&self) -> MutexGuard<'_, Tree> {
        self.0.lock().unwrap()
    }
}

/// A path as written, without its closing `/`: names stay escaped, which is as good.
fn named(path: &str) -> String {
    path.trim_matches('/').to_owned()
}

fn status(code: u16) -> Response<Body> {
    Response::builder().status(code).body(Body::empty()).unwrap()
}

async fn answer(
    State(server): State<Careless>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response<Body> {
    let path = named(uri.path());
    match method.as_str() {
        "PUT" => {
            if server.is_silent() {
                std::future::pending::<()>().await;
            }
            server.put(path, body)
        }
        "GET" => match server.tree().files.get(&path) {
            Some((bytes, _)) => Response::new(Body::from(bytes.clone())),
            None => status(404),
        },
        "MKCOL" => server.make(path),
        "DELETE" => {
            let (mut tree, below) = (server.tree(), format!("{path}/"));
            tree.files.retain(|name, _| *name != path && !name.starts_with(&below));
            tree.folders.retain(|name| *name != path && !name.starts_with(&below));
            status(204)
        }
        "PROPFIND" => server.found(&path, headers.get("depth").is_some_and(|depth| depth == "1")),
        "MOVE" => {
            let to: Uri = headers["destination"].to_str().unwrap().parse().unwrap();
            let to = named(to.path());
            match path.strip_suffix("/.file") {
                Some(folder) => server.put_together(folder, to, &headers["oc-total-length"]),
                None => server.give(path, to, headers.get("overwrite").is_none_or(|over| over != "F")).await,
            }
        }
        _ => status(405),
    }
}

impl Careless {
    fn put(&self, path: String, body: Bytes) -> Response<Body> {
        let mut tree = self.tree();
        if !tree.folders.contains(path.rsplit_once('/').map_or("", |(above, _)| above)) {
            return status(409);
        }
        tree.sent.push((path.clone(), body.len()));
        tree.files.insert(path, (body, Timestamp::now()));
        status(201)
    }

    /// All files of a folder, one after the other; the folder is gone then.
    fn put_together(&self, folder: &str, to: String, length: &HeaderValue) -> Response<Body> {
        let (mut tree, below) = (self.tree(), format!("{folder}/"));
        if !tree.folders.contains(folder) {
            return status(404);
        }
        if tree.files.contains_key(&to) || !tree.folders.contains(to.rsplit_once('/').map_or("", |(above, _)| above)) {
            return status(412);
        }
        let names: Vec<String> = tree.files.keys().filter(|name| name.starts_with(&below)).cloned().collect();
        let pieces: Vec<Bytes> = names.iter().filter_map(|name| Some(tree.files.remove(name)?.0)).collect();
        tree.folders.remove(folder);
        let whole = pieces.concat();
        if *length != whole.len().to_string() {
            return status(400);
        }
        tree.files.insert(to, (whole.into(), Timestamp::now()));
        status(201)
    }

    fn make(&self, path: String) -> Response<Body> {
        let mut tree = self.tree();
        let above = path.rsplit_once('/').map_or("", |(above, _)| above);
        if tree.files.contains_key(&path) || tree.folders.contains(&path) {
            return status(405);
        }
        if !tree.folders.contains(above) {
            return status(409);
        }
        tree.folders.insert(path);
        status(201)
    }

    async fn give(&self, from: String, to: String, over: bool) -> Response<Body> {
        if !over && self.tree().files.contains_key(&to) {
            return status(412);
        }
        let meeting = self.tree().meeting.clone();
        match meeting {
            Some(meeting) => {
                meeting.wait().await;
            }
            None => tokio::time::sleep(CARELESS).await,
        }
        let mut tree = self.tree();
        let Some(bytes) = tree.files.remove(&from) else { return status(404) };
        if tree.files.insert(to, bytes).is_some() && !over {
            tree.lost += 1;
        }
        status(201)
    }

    fn found(&self, path: &str, below: bool) -> Response<Body> {
        let tree = self.tree();
        if !tree.folders.contains(path) && !tree.files.contains_key(path) {
            return status(404);
        }
        let within = |name: &str| name == path || below && name.rsplit_once('/').map_or("", |(above, _)| above) == path;
        let mut text = String::from(r#"<?xml version="1.0"?><D:multistatus xmlns:D="DAV:">"#);
        for name in tree.folders.iter().filter(|name| within(name)) {
            let kind = "<D:resourcetype><D:collection/></D:resourcetype>";
            write!(
                text,
                "<D:response><D:href>/{name}/</D:href><D:propstat><D:prop>{kind}</D:prop></D:propstat></D:response>"
            )
            .unwrap();
        }
        for (name, (bytes, written)) in tree.files.iter().filter(|(name, _)| within(name)) {
            let written = DateTimePrinter::new().timestamp_to_rfc9110_string(written).unwrap();
            let kind = format!(
                "<D:resourcetype/><D:getcontentlength>{}</D:getcontentlength><D:getlastmodified>{written}</D:getlastmodified>",
                bytes.len()
            );
            write!(
                text,
                "<D:response><D:href>/{name}</D:href><D:propstat><D:prop>{kind}</D:prop></D:propstat></D:response>"
            )
            .unwrap();
        }
        text += "</D:multistatus>";
        Response::builder().status(StatusCode::MULTI_STATUS).body(Body::from(text)).unwrap()
    }
}
