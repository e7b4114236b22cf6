//! When rules act.

/// Between the request and the end of its response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Before static files and the application (`route`).
    Request,
    /// On the response, whatever its status, as it was made (`error-route`).
    Error,
    /// On the response, after that (`response-route`).
    Response,
    /// When it has left, before the log tells of it (`final-route`).
    Final,
}

const PREFIXES: [(&str, Phase); 3] =
    [("error-", Phase::Error), ("response-", Phase::Response), ("final-", Phase::Final)];

impl Phase {
    /// The phase that an option's name begins with, and the rest of it, if it is one of rules.
    pub(super) fn of(option: &str) -> Option<(Self, &str)> {
        let prefixed = |&(prefix, phase)| Some((phase, option.strip_prefix(prefix)?));
        let (phase, rest) = PREFIXES.iter().find_map(prefixed).unwrap_or((Self::Request, option));
        (rest == "route" || rest.starts_with("route-")).then_some((phase, rest))
    }

    /// The name of an option in this phase.
    pub(super) fn option(self, name: &str) -> String {
        let prefix = PREFIXES.iter().find(|(_, phase)| *phase == self);
        prefix.map_or("", |(prefix, _)| prefix).to_owned() + name
    }
}
