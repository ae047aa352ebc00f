//! The cookies of one connection: a server without logins knows its sessions by them.

use std::collections::BTreeMap;

use tonic::metadata::MetadataMap;

/// Cookies that are kept; a server needs one.
const COOKIES_MAX: usize = 16;
/// Bytes of one cookie, name and value.
const COOKIE_BYTES_MAX: usize = 4 << 10;

/// Names and values, as the server set them.
#[derive(Default)]
pub(super) struct Cookies {
    values: BTreeMap<String, String>,
}

impl Cookies {
    /// Takes what a response sets.
    pub(super) fn learn(&mut self, response: &MetadataMap) {
        for header in response.get_all("set-cookie") {
            let Ok(text) = header.to_str() else { continue };
            let mut parts = text.split(';').map(str::trim);
            let Some((name, value)) = parts.next().and_then(|pair| pair.split_once('=')) else {
                continue;
            };
            let is_over = parts.any(|part| part.eq_ignore_ascii_case("max-age=0"));
            if is_over || value.is_empty() {
                self.values.remove(name);
            } else if name.len() + value.len() <= COOKIE_BYTES_MAX
                && (self.values.len() < COOKIES_MAX || self.values.contains_key(name))
            {
                self.values.insert(name.to_owned(), value.to_owned());
            }
        }
    }

    /// The header that sends them back.
    pub(super) fn header(&self) -> Option<String> {
        let pairs: Vec<String> = self.values.iter().map(|(n, v)| format!("{n}={v}")).collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }
}

impl std::fmt::Debug for Cookies {
    /// A session cookie is as good as a login.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(cookies: &[&str]) -> MetadataMap {
        let mut map = MetadataMap::new();
        for cookie in cookies {
            map.append("set-cookie", cookie.parse().unwrap());
        }
        map
    }

    #[test]
    fn cookies_are_sent_back_until_they_end() {
        let mut cookies = Cookies::default();
        assert_eq!(cookies.header(), None);
        cookies.learn(&response(&["a=1; Path=/; HttpOnly", "b=2=2"]));
        assert_eq!(cookies.header().unwrap(), "a=1; b=2=2");
        cookies.learn(&response(&["a=3", "b=; Max-Age=0", "nonsense"]));
        assert_eq!(cookies.header().unwrap(), "a=3");
    }

    #[test]
    fn a_server_cannot_fill_the_memory_with_them() {
        let mut cookies = Cookies::default();
        for i in 0..100 {
            cookies.learn(&response(&[&format!("c{i}=v")]));
        }
        cookies.learn(&response(&[&format!("c1={}", "x".repeat(5_000))]));
        assert_eq!(cookies.values.len(), COOKIES_MAX);
        assert!(cookies.header().unwrap().len() < 200);
    }
}
