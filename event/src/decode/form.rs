//! The pairs of a query or body: `key=value` joined by `&`.

use super::url;

/// The parameters that matter, still percent-encoded. The first of a name counts.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Params<'a> {
    pub(crate) data: Option<&'a [u8]>,
    pub(crate) data_list: Option<&'a [u8]>,
    pub(crate) crc: Option<&'a [u8]>,
    pub(crate) ext: Option<&'a [u8]>,
    pub(crate) project: Option<&'a [u8]>,
    pub(crate) token: Option<&'a [u8]>,
    pub(crate) info_id: Option<&'a [u8]>,
}

impl<'a> Params<'a> {
    /// Reads `text`, whatever its content type says.
    pub(crate) fn parse(text: &'a [u8]) -> Self {
        let mut params = Self::default();
        let mut rest = text;
        while !rest.is_empty() {
            let end = memchr::memchr(b'&', rest).unwrap_or(rest.len());
            params.pair(&rest[..end]);
            rest = rest.get(end + 1..).unwrap_or_default();
        }
        params
    }

    fn pair(&mut self, pair: &'a [u8]) {
        const LONGEST: usize = 64; // no key of ours is longer, even with every byte percent-encoded
        let Some(split) = pair.iter().take(LONGEST).position(|&byte| byte == b'=') else { return };
        let (key, value) = (&pair[..split], &pair[split + 1..]);
        let mut plain = [0; LONGEST];
        let place = match url::decode_small(key.trim_ascii_start(), &mut plain) {
            b"data" => &mut self.data,
            b"data_list" => &mut self.data_list,
            b"crc" => &mut self.crc,
            b"ext" => &mut self.ext,
            b"project" => &mut self.project,
            b"token" => &mut self.token,
            b"info_id" => &mut self.info_id,
            _ => return,
        };
        if place.is_none() {
            *place = Some(value);
        }
    }

    /// The body's parameters, with the query's where the body has none; `project` and `token` the other way round, for the
    /// server URL names them.
    pub(crate) fn union(body: Self, query: Self) -> Self {
        Self {
            data: body.data.or(query.data),
            data_list: body.data_list.or(query.data_list),
            crc: body.crc.or(query.crc),
            ext: body.ext.or(query.ext),
            project: query.project.or(body.project),
            token: query.token.or(body.token),
            info_id: query.info_id.or(body.info_id),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_come_in_any_order_and_the_first_counts() {
        let p = Params::parse(b"crc=-1&&gzip=1&data_list=a%3D&data_list=b&=x&novalue&ext=");
        assert_eq!(
            (p.crc, p.data_list, p.ext, p.data),
            (Some(&b"-1"[..]), Some(&b"a%3D"[..]), Some(&b""[..]), None)
        );
        assert_eq!(Params::parse(b"d%61ta=x").data, Some(&b"x"[..]));
        assert_eq!(Params::parse(b"\r\ndata=x").data, Some(&b"x"[..]));
        assert_eq!(Params::parse(b"datax=1&dat=2&data").data, None);
        assert_eq!(Params::parse(b"%64%61%74%61=%&%=1&%6=2").data, Some(&b"%"[..]));
    }

    #[test]
    fn the_body_wins_but_the_url_names_the_project() {
        let body = Params::parse(b"data=b&project=b");
        let query = Params::parse(b"data=q&project=q&token=t");
        let p = Params::union(body, query);
        assert_eq!(
            (p.data, p.project, p.token),
            (Some(&b"b"[..]), Some(&b"q"[..]), Some(&b"t"[..]))
        );
    }
}
