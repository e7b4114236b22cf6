//! The variables of a `log-format`, by the names that uWSGI has for them.

use std::borrow::Cow;

use super::Access;
use super::access::{Header, number};
use super::clock::{self, CTIME, LTIME};

/// Where and how a line is written.
#[derive(Debug)]
pub(super) struct Scene<'a> {
    /// Now, in microseconds of the epoch.
    pub now: i64,
    /// The worker's number.
    pub worker: u32,
    /// The worker's process.
    pub pid: u32,
    /// The format of `%(ftime)`.
    pub ftime: &'a str,
    /// `%(addr)` is the whole X-Forwarded-For (`log-x-forwarded-for`).
    pub forwarded: bool,
}

impl Scene<'_> {
    /// When the request came, in microseconds of the epoch.
    pub(super) fn began(&self, access: &Access<'_>) -> i64 {
        self.now.saturating_sub(i64::try_from(access.micros).unwrap_or(i64::MAX)).max(0)
    }
}

/// A variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    Uri,
    Method,
    User,
    Address,
    Host,
    Protocol,
    UserAgent,
    Referer,
    RequestId,
    Status,
    Micros,
    Millis,
    Seconds,
    Time,
    Ltime,
    Ftime,
    Ctime,
    Iso,
    Epoch,
    TimeMillis,
    TimeMicros,
    Size,
    BodySize,
    HeadSize,
    ContentLength,
    Pid,
    Worker,
    Switches,
    Variables,
    PacketSize,
    Core,
    Headers,
    Incomplete,
    Zero,
    AddressSpace,
    Resident,
    AddressSpaceMega,
    ResidentMega,
}

/// The names; the last two are rwsgi's own.
pub(super) const FIELDS: &[(&str, Field)] = &[
    ("uri", Field::Uri),
    ("method", Field::Method),
    ("user", Field::User),
    ("addr", Field::Address),
    ("host", Field::Host),
    ("proto", Field::Protocol),
    ("uagent", Field::UserAgent),
    ("referer", Field::Referer),
    ("status", Field::Status),
    ("micros", Field::Micros),
    ("msecs", Field::Millis),
    ("secs", Field::Seconds),
    ("time", Field::Time),
    ("ltime", Field::Ltime),
    ("ftime", Field::Ftime),
    ("ctime", Field::Ctime),
    ("epoch", Field::Epoch),
    ("tmsecs", Field::TimeMillis),
    ("tmicros", Field::TimeMicros),
    ("size", Field::Size),
    ("rsize", Field::BodySize),
    ("hsize", Field::HeadSize),
    ("cl", Field::ContentLength),
    ("pid", Field::Pid),
    ("wid", Field::Worker),
    ("switches", Field::Switches),
    ("vars", Field::Variables),
    ("pktsize", Field::PacketSize),
    ("core", Field::Core),
    ("headers", Field::Headers),
    ("werr", Field::Incomplete),
    ("rerr", Field::Zero),
    ("ioerr", Field::Incomplete),
    ("vsz", Field::AddressSpace),
    ("rss", Field::Resident),
    ("vszM", Field::AddressSpaceMega),
    ("rssM", Field::ResidentMega),
    ("modifier1", Field::Zero),
    ("modifier2", Field::Zero),
    ("request_id", Field::RequestId),
    ("iso", Field::Iso),
];

impl Field {
    /// What comes from elsewhere, to be quoted; `None`: it is a number or a time, see
    /// [`Self::number`].
    pub(super) fn text<'a>(
        self,
        access: &'a Access<'_>,
        scene: &Scene<'_>,
    ) -> Option<Cow<'a, [u8]>> {
        let header = |header| access.request.header(header);
        Some(match self {
            Self::Uri => access.target.into(),
            Self::Method => access.method.as_bytes().into(),
            Self::User => access.request.variable("REMOTE_USER").unwrap_or_default(),
            Self::Address => match header(Header::ForwardedFor).filter(|_| scene.forwarded) {
                Some(said) if !said.is_empty() => said,
                _ => access.client.as_bytes().into(),
            },
            Self::Host => header(Header::Host).unwrap_or_default(),
            Self::Protocol => access.protocol.as_bytes().into(),
            Self::UserAgent => header(Header::UserAgent).unwrap_or_default(),
            Self::Referer => header(Header::Referer).unwrap_or_default(),
            _ => return None,
        })
    }

    /// Appends a number or a time.
    pub(super) fn number(self, out: &mut Vec<u8>, access: &Access<'_>, scene: &Scene<'_>) {
        let began = scene.began(access);
        let positive = |value: i64| u64::try_from(value).unwrap_or_default();
        let value = match self {
            Self::Status => access.status.into(),
            Self::Micros => access.micros,
            Self::Millis => access.micros / 1000,
            Self::Seconds => return fraction(out, access.micros),
            Self::Time => positive(began / 1_000_000),
            Self::Ltime => return clock::append(out, LTIME, began / 1_000_000),
            Self::Ftime => return clock::append(out, scene.ftime, began / 1_000_000),
            Self::Ctime => return clock::append(out, CTIME, began / 1_000_000),
            Self::Iso => return iso(out, began),
            Self::RequestId => return access.request.request_id(out),
            Self::Epoch => positive(scene.now / 1_000_000),
            Self::TimeMillis => positive(began / 1000),
            Self::TimeMicros => positive(began),
            Self::Size => access.head_bytes + access.bytes,
            Self::BodySize => access.bytes,
            Self::HeadSize => access.head_bytes,
            Self::ContentLength => content_length(access),
            Self::Pid => scene.pid.into(),
            Self::Worker => scene.worker.into(),
            Self::Switches => u64::from(access.thread.is_some()),
            Self::Variables => 2 * access.request.variables().0,
            Self::PacketSize => access.request.variables().1,
            Self::Core => access.thread.unwrap_or_default().into(),
            Self::Headers => access.fields.into(),
            Self::Incomplete => u64::from(!access.complete),
            Self::AddressSpace => memory().0,
            Self::Resident => memory().1,
            Self::AddressSpaceMega => memory().0 >> 20,
            Self::ResidentMega => memory().1 >> 20,
            Self::Zero
            | Self::Uri
            | Self::Method
            | Self::User
            | Self::Address
            | Self::Host
            | Self::Protocol
            | Self::UserAgent
            | Self::Referer => 0,
        };
        number(out, value);
    }
}

fn content_length(access: &Access<'_>) -> u64 {
    let field = access.request.header(Header::ContentLength);
    field.and_then(|text| std::str::from_utf8(&text).ok()?.parse().ok()).unwrap_or_default()
}

/// Seconds with six decimals.
fn fraction(out: &mut Vec<u8>, micros: u64) {
    number(out, micros / 1_000_000);
    out.push(b'.');
    decimals(out, micros % 1_000_000);
}

/// Six digits.
fn decimals(out: &mut Vec<u8>, micros: u64) {
    let mut unit = 100_000;
    while unit > 0 {
        out.push(b'0' + (micros / unit % 10) as u8);
        unit /= 10;
    }
}

/// RFC 3339, in UTC's offset of this place, with microseconds.
fn iso(out: &mut Vec<u8>, micros: i64) {
    clock::append(out, "%Y-%m-%dT%H:%M:%S.", micros / 1_000_000);
    decimals(out, u64::try_from(micros % 1_000_000).unwrap_or_default());
    clock::append(out, "%:z", micros / 1_000_000);
}

/// Address space and resident memory of this process, in bytes.
fn memory() -> (u64, u64) {
    let Ok(text) = std::fs::read_to_string("/proc/self/statm") else { return (0, 0) };
    let mut pages = text.split(' ').map(|pages| pages.parse::<u64>().unwrap_or_default());
    let page = nix::unistd::sysconf(nix::unistd::SysconfVar::PAGE_SIZE);
    let page = page.ok().flatten().and_then(|size| u64::try_from(size).ok()).unwrap_or(4096);
    let mut next = || pages.next().unwrap_or_default() * page;
    (next(), next())
}
