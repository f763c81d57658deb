//! Tokens, codes and device codes of one vendor, with the lifetime that the vendor gives them.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use super::Drive;

#[derive(Clone, Debug)]
pub struct Pair {
    pub access: String,
    pub refresh: String,
}

pub struct Device {
    pub user_code: String,
    /// What the user said, if anything yet.
    pub answer: Option<bool>,
    pub polled: Option<Instant>,
    pub interval: Duration,
}

/// What a person agreed to on a page.
#[derive(Clone, Debug, Default)]
pub struct Consent {
    /// PKCE's, where one was sent.
    pub challenge: Option<String>,
    /// Where the browser was sent.
    pub redirect: Option<String>,
    pub scope: Option<String>,
}

pub enum Poll {
    Pending,
    SlowDown,
    Denied,
    Unknown,
    Granted,
}

pub struct Tokens {
    drive: Drive,
    access: HashSet<String>,
    refresh: HashSet<String>,
    codes: HashMap<String, Consent>,
    devices: HashMap<String, Device>,
    /// Ids of assertions that were used (Box's JWT).
    pub assertions: HashSet<String>,
    /// The user says no on each page.
    pub refusing: bool,
    /// Asking more often than this is too often.
    pub interval: Duration,
    serial: u64,
}

impl Tokens {
    pub fn new(drive: Drive) -> Self {
        Self {
            drive,
            access: HashSet::new(),
            refresh: HashSet::new(),
            codes: HashMap::new(),
            devices: HashMap::new(),
            assertions: HashSet::new(),
            refusing: false,
            interval: Duration::from_secs(1),
            serial: 0,
        }
    }

    fn text(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{}-{kind}-{:08}-0123456789abcdef", self.drive.prefix(), self.serial)
    }

    pub fn mint(&mut self) -> Pair {
        let refresh = self.text("refresh");
        self.refresh.insert(refresh.clone());
        Pair { access: self.access(), refresh }
    }

    pub fn access(&mut self) -> String {
        let access = self.text("access");
        self.access.insert(access.clone());
        access
    }

    pub fn is_good(&self, access: &str) -> bool {
        self.access.contains(access)
    }

    pub fn expire(&mut self) {
        self.access.clear();
    }

    pub fn revoke(&mut self) {
        self.access.clear();
        self.refresh.clear();
    }

    /// Ends one token, of either kind.
    pub fn revoke_one(&mut self, token: &str) {
        self.access.remove(token);
        self.refresh.remove(token);
    }

    /// Box takes a refresh token once; Microsoft gives a new one and the old stays; the others give none.
    pub fn refresh(&mut self, token: &str) -> Option<(String, Option<String>)> {
        if !self.refresh.contains(token) {
            return None;
        }
        if self.drive == Drive::Box {
            self.refresh.remove(token);
        }
        let rotated = matches!(self.drive, Drive::Box | Drive::OneDrive).then(|| {
            let fresh = self.text("refresh");
            self.refresh.insert(fresh.clone());
            fresh
        });
        Some((self.access(), rotated))
    }

    pub fn code(&mut self, consent: Consent) -> String {
        let code = self.text("code");
        self.codes.insert(code.clone(), consent);
        code
    }

    /// A code works once.
    pub fn take_code(&mut self, code: &str) -> Option<Consent> {
        self.codes.remove(code)
    }

    /// Device code and user code.
    pub fn device(&mut self) -> (String, String) {
        let code = self.text("device");
        let user_code = format!("FAKE-{:04}", self.serial);
        let device = Device { user_code: user_code.clone(), answer: None, polled: None, interval: self.interval };
        self.devices.insert(code.clone(), device);
        (code, user_code)
    }

    pub fn approve(&mut self, answer: bool) {
        for device in self.devices.values_mut() {
            device.answer = Some(answer);
        }
    }

    pub fn poll(&mut self, code: &str) -> Poll {
        let Some(device) = self.devices.get_mut(code) else { return Poll::Unknown };
        let now = Instant::now();
        // A little early is forgiven: clocks of client and server tick apart.
        let early =
            device.polled.is_some_and(|at| now.duration_since(at) + Duration::from_millis(50) < device.interval);
        device.polled = Some(now);
        match device.answer {
            _ if early => Poll::SlowDown,
            None => Poll::Pending,
            Some(false) => Poll::Denied,
            Some(true) => {
                self.devices.remove(code);
                Poll::Granted
            }
        }
    }
}
