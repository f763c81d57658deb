//! Which addresses an action may reach: public ones, unless the server's file says otherwise.
//!
//! The guard against requests that a stranger's event steers into the server's own network (SSRF). A host is resolved
//! once; every address that it has must be allowed; and the connection goes to those addresses, so that a name which
//! answers differently the second time gains nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::server::file::HttpRules;

/// Why an address may not be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{host}` may not be reached: {why}; an administrator can add it to `http: {{allow: […]}}` in the server's file"
)]
pub struct Refused {
    /// The host as asked for.
    pub host: String,
    /// Why.
    pub why: String,
}

/// Judges the addresses of a host.
///
/// # Errors
/// When one of them is not public and not allowed, or is denied, or there is none.
pub fn judge(host: &str, addresses: &[IpAddr], rules: &HttpRules) -> Result<(), Refused> {
    let refuse = |why: String| Err(Refused { host: host.to_owned(), why });
    if addresses.is_empty() {
        return refuse("it has no address".to_owned());
    }
    for address in addresses {
        let address = plain(*address);
        let fits = |list: &[String]| list.iter().any(|rule| matches(rule, host, address));
        if fits(&rules.deny) {
            return refuse("it is denied".to_owned());
        }
        if let Some(kind) = not_public(address).filter(|_| !fits(&rules.allow)) {
            return refuse(format!("{address} is {kind}"));
        }
    }
    Ok(())
}

/// Whether a text is a rule: a host, an address or a network.
pub fn is_rule(text: &str) -> bool {
    let host = |text: &str| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
        !text.is_empty() && text.chars().all(plain) && text.chars().any(|c| c.is_ascii_alphabetic())
    };
    network(text).is_some() || (!text.contains('/') && host(text.strip_prefix("*.").unwrap_or(text)))
}

fn matches(rule: &str, host: &str, address: IpAddr) -> bool {
    if let Some((base, bits)) = network(rule) {
        return within(base, bits, address);
    }
    let (rule, host) = (rule.to_ascii_lowercase(), host.trim_end_matches('.').to_ascii_lowercase());
    match rule.strip_prefix("*.") {
        Some(domain) => host.strip_suffix(domain).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.')),
        None => host == rule,
    }
}

fn network(rule: &str) -> Option<(IpAddr, u32)> {
    let (base, bits) = rule.split_once('/').map_or((rule, None), |(base, bits)| (base, Some(bits)));
    let base: IpAddr = base.parse().ok()?;
    let most = if base.is_ipv4() { 32 } else { 128 };
    let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
    (bits <= most).then_some((base, bits))
}

fn within(base: IpAddr, bits: u32, address: IpAddr) -> bool {
    let same = |a: u128, b: u128, width: u32| bits == 0 || a >> (width - bits) == b >> (width - bits);
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) => same(u32::from(base).into(), u32::from(address).into(), 32),
        (IpAddr::V6(base), IpAddr::V6(address)) => same(base.into(), address.into(), 128),
        _ => false,
    }
}

/// An IPv4 address that wears IPv6 clothes is judged as what it is: mapped, 6to4, NAT64.
fn plain(address: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = address else { return address };
    let parts = six.segments();
    let four = |high: u16, low: u16| IpAddr::V4(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match parts {
        [0, 0, 0, 0, 0, 0xffff, high, low]
        | [0x64, 0xff9b, 0, 0, 0, 0, high, low]
        | [0x2002, high, low, ..]
        | [0, 0, 0, 0, 0, 0, high @ 1..=0xffff, low] => four(high, low),
        _ => address,
    }
}

/// What an address is, where it is not public.
fn not_public(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(four) => not_public_four(four),
        IpAddr::V6(six) => not_public_six(six),
    }
}

fn not_public_four(four: Ipv4Addr) -> Option<&'static str> {
    let [a, b, c, _] = four.octets();
    Some(match (a, b, c) {
        (127, ..) => "this machine itself",
        (10, ..) | (172, 16..=31, _) | (192, 168, _) => "in a private network",
        (169, 254, _) => "link-local, where clouds keep their metadata",
        (100, 64..=127, _) => "in a provider's private network",
        (0, ..) => "unspecified",
        (224..=239, ..) => "a multicast address",
        (240..=255, ..) | (192, 0, 0 | 2) | (198, 18..=19, _) | (198, 51, 100) | (203, 0, 113) | (192, 88, 99) => {
            "reserved"
        }
        _ => return None,
    })
}

fn not_public_six(six: Ipv6Addr) -> Option<&'static str> {
    let parts = six.segments();
    Some(match parts[0] {
        _ if six.is_loopback() => "this machine itself",
        _ if six.is_unspecified() => "unspecified",
        0xfc00..=0xfdff | 0xfec0..=0xfeff => "in a private network",
        0xfe80..=0xfebf => "link-local",
        0xff00..=0xffff => "a multicast address",
        // Everything that is routed today is in 2000::/3.
        0x2001 if parts[1] == 0xdb8 || parts[1] < 0x200 => "reserved",
        0x2000..=0x3fff => return None,
        _ => "reserved",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(address: &str, rules: &HttpRules) -> bool {
        judge("host.example.com", &[address.parse().unwrap()], rules).is_ok()
    }

    #[test]
    fn only_public_addresses_are_reached() {
        let rules = HttpRules::default();
        for good in ["8.8.8.8", "140.82.121.4", "172.32.0.1", "2606:4700::1111", "2a00:1450::1"] {
            assert!(judged(good, &rules), "{good}");
        }
        for bad in [
            "127.0.0.1",
            "127.8.8.8",
            "0.0.0.0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "100.100.100.200",
            "224.0.0.1",
            "255.255.255.255",
            "192.0.0.192",
            "198.18.0.1",
            "203.0.113.9",
            "::1",
            "::",
            "fe80::1",
            "fc00::1",
            "fd00:ec2::254",
            "ff02::1",
            "2001:db8::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "2002:7f00:1::",
            "::127.0.0.1",
            "2001::1",
        ] {
            assert!(!judged(bad, &rules), "{bad}");
        }
    }

    #[test]
    fn rules_allow_and_deny_hosts_addresses_and_networks() {
        let rules = |allow: &[&str], deny: &[&str]| HttpRules {
            allow: allow.iter().map(ToString::to_string).collect(),
            deny: deny.iter().map(ToString::to_string).collect(),
            max_size: None,
        };
        assert!(judged("10.1.2.3", &rules(&["10.0.0.0/8"], &[])));
        assert!(!judged("11.1.2.3", &rules(&["10.0.0.0/8"], &["11.0.0.0/8"])));
        assert!(judged("10.1.2.3", &rules(&["*.Example.com"], &[])));
        assert!(!judged("10.1.2.3", &rules(&["example.com"], &[])));
        assert!(!judged("8.8.8.8", &rules(&[], &["host.example.com"])));
        assert!(!judged("::ffff:8.8.8.8", &rules(&[], &["8.8.8.8"])));
    }

    #[test]
    fn one_bad_address_among_good_ones_is_enough() {
        let addresses = ["8.8.8.8".parse().unwrap(), "127.0.0.1".parse().unwrap()];
        let refused = judge("rebind.example.com", &addresses, &HttpRules::default()).unwrap_err();
        assert!(refused.to_string().contains("this machine itself"), "{refused}");
        assert!(judge("x", &[], &HttpRules::default()).is_err());
    }

    #[test]
    fn rules_are_hosts_addresses_and_networks() {
        for good in ["a.example.com", "*.example.com", "10.0.0.0/8", "::1", "fd00::/8", "localhost"] {
            assert!(is_rule(good), "{good}");
        }
        for bad in ["", "10.0.0.0/33", "http://x", "a b", "10.0.0", "*"] {
            assert!(!is_rule(bad), "{bad}");
        }
    }
}
