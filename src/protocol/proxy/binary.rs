//! Version 2: a binary header with addresses and extensions (TLV).

use std::net::IpAddr;

use super::{Endpoints, Parsed, ProxyError, has_signature};

/// How it begins: bytes that no other protocol begins with.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const FIXED: usize = 16;

/// The most bytes behind the fixed part: room for the longest addresses and for certificates' names.
const LIMIT: usize = 2048;

/// The extension with a checksum of the whole header, itself taken as zero.
const CHECKSUM: u8 = 0x03;

/// The extension about TLS between client and proxy, and the bit in it that says there was.
const TLS: u8 = 0x20;
const TLS_USED: u8 = 0x01;

pub(super) fn parse(bytes: &[u8]) -> Result<Parsed, ProxyError> {
    if !has_signature(bytes, SIGNATURE)? {
        return Ok(Parsed::More);
    }
    let Some(&[.., command, family, high, low]) = bytes.first_chunk::<FIXED>() else {
        return Ok(Parsed::More);
    };
    let size = usize::from(u16::from_be_bytes([high, low]));
    if size > LIMIT {
        return Err(ProxyError::TooLong { limit: FIXED + LIMIT });
    }
    let family = Family::told(command, family)?;
    if size < family.size() {
        return Err(ProxyError::Short { size, needed: family.size() });
    }
    let length = FIXED + size;
    let Some(header) = bytes.get(..length) else { return Ok(Parsed::More) };
    let source = family.endpoints(&header[FIXED..]);
    let tls = family != Family::Unknown && extensions(header, FIXED + family.size())?;
    Ok(Parsed::Header { length, source, tls })
}

/// What the addresses are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    /// Nothing that may be looked at: UNSPEC, or the proxy's own connection (LOCAL).
    Unknown,
    Inet,
    Inet6,
    Unix,
}

impl Family {
    /// The transport is of no interest: a client's may have been QUIC.
    fn told(command: u8, family: u8) -> Result<Self, ProxyError> {
        match (command >> 4, command & 0x0f) {
            (2, 0) => return Ok(Self::Unknown),
            (2, 1) => {}
            (2, command) => return Err(ProxyError::Command(command)),
            (version, _) => return Err(ProxyError::Version(version)),
        }
        match family {
            0x00 => Ok(Self::Unknown),
            0x11 | 0x12 => Ok(Self::Inet),
            0x21 | 0x22 => Ok(Self::Inet6),
            0x31 | 0x32 => Ok(Self::Unix),
            other => Err(ProxyError::Family(other)),
        }
    }

    /// Bytes that both addresses take.
    fn size(self) -> usize {
        match self {
            Self::Unknown => 0,
            Self::Inet => 2 * (4 + 2),
            Self::Inet6 => 2 * (16 + 2),
            Self::Unix => 2 * 108,
        }
    }

    fn endpoints(self, block: &[u8]) -> Option<Endpoints> {
        match self {
            Self::Inet => pair::<4>(block),
            Self::Inet6 => pair::<16>(block),
            Self::Unknown | Self::Unix => None,
        }
    }
}

/// Two addresses of `N` bytes, then their ports.
fn pair<const N: usize>(block: &[u8]) -> Option<Endpoints>
where
    IpAddr: From<[u8; N]>,
{
    let (&client, rest) = block.split_first_chunk::<N>()?;
    let (&server, rest) = rest.split_first_chunk::<N>()?;
    let (&from, rest) = rest.split_first_chunk::<2>()?;
    let to = *rest.first_chunk::<2>()?;
    let end = |address: [u8; N], port| (IpAddr::from(address), u16::from_be_bytes(port));
    Some(Endpoints::new(end(client, from), end(server, to)))
}

/// Checks the extensions, which begin at `start`; whether the client used TLS.
fn extensions(header: &[u8], start: usize) -> Result<bool, ProxyError> {
    let (mut tls, mut checked) = (false, false);
    let mut rest = &header[start..];
    while !rest.is_empty() {
        let (kind, value, after) = extension(rest)?;
        match kind {
            // Once, so that a header cannot buy a sum over itself with each of its bytes.
            CHECKSUM if !checked => {
                checked = true;
                check_sum(header, header.len() - after.len(), value)?;
            }
            CHECKSUM => return Err(ProxyError::Extension),
            TLS => tls |= tls_used(value)?,
            _ => {}
        }
        rest = after;
    }
    Ok(tls)
}

/// Type, value and what follows: `kind u8, length u16, value`.
fn extension(bytes: &[u8]) -> Result<(u8, &[u8], &[u8]), ProxyError> {
    let (&[kind, high, low], rest) = bytes.split_first_chunk::<3>().ok_or(ProxyError::Extension)?;
    let length = usize::from(u16::from_be_bytes([high, low]));
    let (value, after) = rest.split_at_checked(length).ok_or(ProxyError::Extension)?;
    Ok((kind, value, after))
}

/// `client u8, verify u32`, then extensions about the session and the client's certificate.
fn tls_used(value: &[u8]) -> Result<bool, ProxyError> {
    let (&[client, ..], mut rest) = value.split_first_chunk::<5>().ok_or(ProxyError::Extension)?;
    while !rest.is_empty() {
        (_, _, rest) = extension(rest)?;
    }
    Ok(client & TLS_USED != 0)
}

/// Compares the checksum that ends at `end` with that of the header.
fn check_sum(header: &[u8], end: usize, value: &[u8]) -> Result<(), ProxyError> {
    let told = <[u8; 4]>::try_from(value).map_err(|_| ProxyError::Extension)?;
    let parts = [&header[..end - told.len()], &[0; 4], &header[end..]];
    if crc32c(parts.into_iter().flatten().copied()) != u32::from_be_bytes(told) {
        return Err(ProxyError::Checksum);
    }
    Ok(())
}

/// CRC-32C (RFC 9260, appendix A), without a table: a connection has one header at most.
fn crc32c(bytes: impl Iterator<Item = u8>) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    let shift = |crc: u32, _| if crc & 1 == 1 { (crc >> 1) ^ POLYNOMIAL } else { crc >> 1 };
    !bytes.fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(byte), shift))
}

#[cfg(test)]
#[path = "binary_tests.rs"]
mod tests;
