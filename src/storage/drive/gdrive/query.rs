//! Searches in Google's language, and the addresses of requests. Pure.

use crate::storage::drive::escape::escape;
use crate::web::Endpoint;

/// What is asked of every file.
pub(super) const FIELDS: &str = "id,name,mimeType,size,md5Checksum,createdTime,modifiedTime,trashed,parents";
pub(super) const FOLDER: &str = "application/vnd.google-apps.folder";
/// Parents that one search may name.
pub(super) const PARENTS: usize = 50;

/// Where requests go; shared drives are meant too.
#[derive(Debug, Clone)]
pub(super) struct Address {
    pub(super) api: Endpoint,
    pub(super) upload: Endpoint,
}

impl Address {
    /// A file by its id, or something done with it.
    pub(super) fn file(&self, id: &str, action: &str) -> String {
        let fields = escape(FIELDS);
        self.api.at(&format!("/drive/v3/files/{}{action}?supportsAllDrives=true&fields={fields}", escape(id)))
    }

    /// What is asked of the folder that a place begins in.
    pub(super) fn top(&self, id: &str) -> String {
        let fields = escape("id,mimeType,trashed,driveId,capabilities/canAddChildren");
        self.api.at(&format!("/drive/v3/files/{}?supportsAllDrives=true&fields={fields}", escape(id)))
    }

    /// The bytes of a file.
    pub(super) fn media(&self, id: &str) -> String {
        self.api.at(&format!("/drive/v3/files/{}?supportsAllDrives=true&alt=media", escape(id)))
    }

    /// Where folders are made.
    pub(super) fn files(&self) -> String {
        self.api.at(&format!("/drive/v3/files?supportsAllDrives=true&fields={}", escape(FIELDS)))
    }

    /// Where contents go, as `multipart` or `resumable`.
    pub(super) fn contents(&self, kind: &str) -> String {
        let fields = escape(FIELDS);
        self.upload.at(&format!("/upload/drive/v3/files?uploadType={kind}&supportsAllDrives=true&fields={fields}"))
    }

    /// Where the bytes of a file are replaced.
    pub(super) fn over(&self, id: &str) -> String {
        let id = escape(id);
        self.upload.at(&format!("/upload/drive/v3/files/{id}?uploadType=media&supportsAllDrives=true&fields=id"))
    }

    /// A page of what a search finds.
    pub(super) fn search(&self, query: &str, page: Option<&str>) -> String {
        let fields = escape(&format!("nextPageToken,incompleteSearch,files({FIELDS})"));
        let page = page.map(|page| format!("&pageToken={}", escape(page))).unwrap_or_default();
        let query = escape(query);
        self.api.at(&format!(
            "/drive/v3/files?q={query}&pageSize=1000&spaces=drive&supportsAllDrives=true&includeItemsFromAllDrives=true&\
             fields={fields}{page}"
        ))
    }

    /// New ids.
    pub(super) fn ids(&self, count: usize) -> String {
        self.api.at(&format!("/drive/v3/files/generateIds?count={count}&space=drive&type=files"))
    }

    /// The account.
    pub(super) fn about(&self) -> String {
        self.api.at("/drive/v3/about?fields=storageQuota%2Cuser%2CmaxUploadSize")
    }
}

/// Whether a text can be an id; any other could lead to another address.
pub(in crate::storage::drive) fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// A text in a search.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// What lies in any of these folders.
pub(super) fn inside(parents: &[String]) -> String {
    let parents: Vec<String> = parents.iter().map(|id| format!("{} in parents", quoted(id))).collect();
    match &*parents {
        // Not everything that speaks this language knows parentheses.
        [one] => format!("{one} and trashed = false"),
        many => format!("({}) and trashed = false", many.join(" or ")),
    }
}

/// What has that name in any of these folders.
pub(super) fn named(parents: &[String], name: &str) -> String {
    format!("{} and name = {}", inside(parents), quoted(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_leave_their_quotes() {
        let ids = ["1a".to_owned(), "2b".to_owned()];
        assert_eq!(
            named(&ids, r"it's a \ 'name'"),
            r"('1a' in parents or '2b' in parents) and trashed = false and name = 'it\'s a \\ \'name\''"
        );
    }

    #[test]
    fn an_id_leads_nowhere_else() {
        assert!(is_id("1A-b_9") && ["", "..", "a/b", "a?b", "a%2fb", "é"].iter().all(|text| !is_id(text)));
    }

    #[test]
    fn a_search_is_one_value_of_its_address() {
        let endpoint: Endpoint = "https://www.googleapis.com".parse().unwrap();
        let address = Address { api: endpoint.clone(), upload: endpoint };
        let url = address.search(&named(&["1".to_owned()], "a&b=c#d"), Some("p&q"));
        let url = url::Url::parse(&url).unwrap();
        let value = |name: &str| url.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned());
        assert_eq!(value("q").unwrap(), "'1' in parents and trashed = false and name = 'a&b=c#d'");
        assert_eq!(
            (value("pageToken").unwrap().as_str(), value("supportsAllDrives").unwrap().as_str()),
            ("p&q", "true")
        );
    }
}
