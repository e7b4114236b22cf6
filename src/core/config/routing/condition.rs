//! What `route-if` and `route-if-not` ask.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::template::Template;
use super::{Invalid, Pattern, pattern};

/// What a rule asks of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Condition {
    /// `exists`: there is a file of whatever kind.
    Exists(Template),
    /// `isfile`: a file, also by a symbolic link.
    IsFile(Template),
    /// `isdir`: a directory, also by a symbolic link.
    IsDirectory(Template),
    /// `islink`: a symbolic link.
    IsLink(Template),
    /// `isexec`: who serves may execute it.
    IsExecutable(Template),
    /// `empty`: the text has no bytes.
    Empty(Template),
    /// `equal`, `isequal`, `eq`, `==`.
    Equal(Template, Template),
    /// `startswith`.
    StartsWith(Template, Template),
    /// `endswith`.
    EndsWith(Template, Template),
    /// `contains`, `contain`.
    Contains(Template, Template),
    /// `regexp`, `re`: its groups are `$1` … of the action.
    Matches(Template, Pattern),
    /// `ishigher` and the like, of whole numbers; what is none is 0.
    Compares(Template, Order, Template),
    /// `ipv4in`, `ipv6in`.
    IsIn(Template, IpNet),
}

/// How numbers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Order {
    /// `ishigher`, `>`.
    Higher,
    /// `ishigherequal`, `>=`.
    HigherOrEqual,
    /// `islower`, `<`.
    Lower,
    /// `islowerequal`, `<=`.
    LowerOrEqual,
}

/// Reads `name:argument` or `name:one;other`.
pub(super) fn read(text: &str) -> Result<Condition, Invalid> {
    let Some((name, argument)) = text.split_once(':') else {
        return Err(Invalid::new(format!("has the condition `{text}` without an argument"))
            .help("write such as `equal:${HTTP_HOST};shop.test`"));
    };
    let one = || Template::read(argument);
    let two = || {
        argument.split_once(';').ok_or_else(|| {
            Invalid::new(format!("compares one text by `{name}`"))
                .help(format!("write `{name}:ONE;OTHER`"))
        })
    };
    let pair = |make: fn(Template, Template) -> Condition| {
        let (one, other) = two()?;
        Ok(make(Template::read(one)?, Template::read(other)?))
    };
    let number = |order| {
        let (one, other) = two()?;
        Ok(Condition::Compares(Template::read(one)?, order, Template::read(other)?))
    };
    match name {
        "exists" => one().map(Condition::Exists),
        "isfile" => one().map(Condition::IsFile),
        "isdir" => one().map(Condition::IsDirectory),
        "islink" => one().map(Condition::IsLink),
        "isexec" => one().map(Condition::IsExecutable),
        "empty" => one().map(Condition::Empty),
        "equal" | "isequal" | "eq" | "==" => pair(Condition::Equal),
        "startswith" => pair(Condition::StartsWith),
        "endswith" => pair(Condition::EndsWith),
        "contains" | "contain" => pair(Condition::Contains),
        "regexp" | "re" => {
            let (subject, expression) = two()?;
            Ok(Condition::Matches(Template::read(subject)?, pattern::read(expression)?))
        }
        "ishigher" | ">" => number(Order::Higher),
        "ishigherequal" | ">=" => number(Order::HigherOrEqual),
        "islower" | "<" => number(Order::Lower),
        "islowerequal" | "<=" => number(Order::LowerOrEqual),
        "ipv4in" | "ipv6in" => {
            let (subject, network) = two()?;
            let address = || network.parse::<std::net::IpAddr>().ok().map(IpNet::from);
            let Some(network) = network.parse().ok().or_else(address) else {
                return Err(Invalid::new(format!("has `{network}`, which is no network"))
                    .help("write such as `10.0.0.0/8`"));
            };
            Ok(Condition::IsIn(Template::read(subject)?, network))
        }
        _ => Err(Invalid::new(format!("has the condition `{name}`, which is not known here")).help(
            "there are equal, startswith, endswith, contains, regexp, empty, exists, isfile, isdir, islink, \
             isexec, ishigher, ishigherequal, islower, islowerequal, ipv4in and ipv6in",
        )),
    }
}
