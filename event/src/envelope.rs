//! Opening a request's envelopes: key, payloads, the events in them.

use crate::check::{self, Context, Envelope, Envelopes, JsonScratch};
use crate::crypto::{self, Cbc, SessionKey};
use crate::decode::base64;
use crate::decode::gunzip::{self, Gunzip};
use crate::record::{Builder, CodeRef, Entry};
use crate::{Code, Config, budget::Budget};

/// Reused memory and state of the crypto part.
#[derive(Debug, Default)]
pub(crate) struct Opener {
    cache: crypto::Cache,
    cbc: Cbc,
    budget: Budget,
    repaired: Vec<u8>,
    packed: Vec<u8>,
    plain: Vec<u8>,
    inflated: Vec<u8>,
    none: Envelopes,
    /// Private-key operations so far.
    pub(crate) key_ops: u64,
}

/// Private-key operations are over the budget: the request is to be kept sealed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OverBudget;

impl Opener {
    /// Gives back memory above `keep_bytes` a buffer.
    pub(crate) fn trim(&mut self, keep_bytes: usize) {
        for buffer in [&mut self.repaired, &mut self.packed, &mut self.plain, &mut self.inflated] {
            if buffer.capacity() > keep_bytes {
                *buffer = Vec::new();
            }
        }
    }

    /// Opens all envelopes and appends their events to `out`; a payload that does not open becomes one rejected entry without
    /// JSON. Returns how many those are.
    ///
    /// # Errors
    /// [`OverBudget`]; `out` is then to be rolled back.
    pub(crate) fn open(
        &mut self,
        envelopes: &Envelopes,
        config: &Config,
        context: &Context<'_>,
        recv_ns: u64,
        parts: (&mut JsonScratch, &mut Gunzip),
        out: &mut Builder,
    ) -> Result<u32, OverBudget> {
        let (json, gunzip) = parts;
        let mut left = config.limits.inflated_bytes_max;
        let mut failed = 0;
        // An envelope without payloads still costs an entry and perhaps a key.
        let weight = |envelope: &Envelope| u64::from(envelope.len().max(1));
        let payloads: u64 = envelopes.list().iter().map(weight).sum();
        if payloads > u64::from(config.limits.payloads_max) {
            unopened(Code::K509, b"", context.recv_ms, out);
            return Ok(1);
        }
        for envelope in envelopes.list() {
            let ekey = envelopes.ekey(envelope);
            let key = self.key(envelope, ekey, config, recv_ns)?;
            let context =
                Context { flush_time: envelope.flush_time, inside_envelope: true, ..*context };
            if envelope.len() == 0 {
                unopened(Code::K508, b"", context.recv_ms, out);
                failed += 1;
            }
            for payload in envelopes.payloads(envelope) {
                if let Err(code) =
                    self.payload(payload, &key, &context, &mut left, (json, gunzip), out)
                {
                    unopened(code, b"", context.recv_ms, out);
                    failed += 1;
                }
            }
        }
        Ok(failed)
    }

    fn key(
        &mut self,
        envelope: &Envelope,
        ekey: &[u8],
        config: &Config,
        recv_ns: u64,
    ) -> Result<SessionKey, OverBudget> {
        let ring = &config.keys;
        if ekey.is_empty() {
            return Ok(match envelope.key_id {
                Some(key_id) => crypto::shared(ring, key_id),
                None => crypto::missing(ring, ekey, Code::K508),
            });
        }
        let Some(pkv) = envelope.pkv else {
            return Ok(crypto::missing(ring, ekey, Code::K508));
        };
        let Some(private) = ring.private(pkv) else {
            return Ok(crypto::missing(ring, ekey, Code::K502));
        };
        if base64::decode(ekey, &mut self.repaired, &mut self.packed).is_err() {
            return Ok(crypto::missing(ring, ekey, Code::K507));
        }
        let name = crypto::Cache::name(ring.serial, pkv, &self.packed);
        if let Some(key) = self.cache.get(&name) {
            return Ok(key);
        }
        if config.seal && !self.budget.spend(recv_ns, config.key_ops_per_s, 1) {
            return Err(OverBudget);
        }
        self.key_ops += 1;
        let key = crypto::unwrap(private, &ring.secret, &self.packed);
        self.cache.put(name, key);
        Ok(key)
    }

    /// One payload. Every step is gone through, whatever failed before; the first failure is the reason.
    fn payload(
        &mut self,
        payload: &[u8],
        key: &SessionKey,
        context: &Context<'_>,
        left: &mut usize,
        parts: (&mut JsonScratch, &mut Gunzip),
        out: &mut Builder,
    ) -> Result<(), Code> {
        let (json, gunzip) = parts;
        let mut fault = key.fault;
        if base64::decode(payload, &mut self.repaired, &mut self.packed).is_err() {
            fault = fault.or(Some(Code::K507));
            self.packed.clear();
        }
        if !self.cbc.decrypt(key, &self.packed, &mut self.plain) {
            fault = fault.or(Some(Code::K504));
        }
        let text = if gunzip::is_gzip(&self.plain) {
            if gunzip.unpack(&self.plain, *left, &mut self.inflated).is_err() {
                fault = fault.or(Some(Code::K505));
            }
            &self.inflated
        } else {
            &self.plain
        };
        // What a failed payload unpacked to counts too, or many small bombs would be a large one.
        let over = text.len() > *left;
        *left = left.saturating_sub(text.len());
        if over {
            return Err(fault.unwrap_or(Code::K505));
        }
        let mark = out.mark();
        let read = check::events(text, context, json, &mut self.none, out);
        let fault = fault.or(match read {
            Ok(0) => Some(Code::K506),
            Ok(_) => None,
            Err(fault) => Some(fault.code),
        });
        match fault {
            None => Ok(()),
            Some(code) => {
                out.rollback(mark);
                Err(code)
            }
        }
    }
}

/// Adds the entry of something that could not be opened: rejected, no JSON, the reason as its code and what arrived as its
/// detail.
pub(crate) fn unopened(code: Code, detail: &[u8], recv_ms: i64, out: &mut Builder) {
    let index = out.count();
    out.code(CodeRef { index, code: code.bytes(), pointer: b"", detail });
    out.entry(&Entry::unopened(recv_ms));
}
