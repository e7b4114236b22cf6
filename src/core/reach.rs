//! Whether a user gets to a file, and which directory of the way is closed.

use std::fmt;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, AtFlags};
use nix::unistd::{AccessFlags, Gid, Group, Uid, User, faccessat, getegid, geteuid, getgrouplist};

/// What is to be done with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Read it, or list it.
    Read,
    /// Make files in it.
    Write,
    /// Change its content.
    Change,
    /// Enter or execute it.
    Enter,
    /// Connect to it, which is a socket.
    Connect,
}

impl Wish {
    fn flags(self) -> AccessFlags {
        match self {
            Self::Read => AccessFlags::R_OK,
            Self::Write => AccessFlags::W_OK | AccessFlags::X_OK,
            Self::Enter => AccessFlags::X_OK,
            Self::Connect | Self::Change => AccessFlags::W_OK,
        }
    }

    /// The bits of a class of users, and how chmod(1) and setfacl(1) write them.
    fn bits(self) -> (u32, &'static str) {
        match self {
            Self::Read => (4, "r"),
            Self::Write => (3, "wx"),
            Self::Enter => (1, "x"),
            Self::Connect => (2, "w"),
            Self::Change => (6, "rw"),
        }
    }
}

/// A user with groups.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Who {
    /// The name, or the number of who has none.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// All groups, by number.
    pub groups: Vec<u32>,
}

impl Who {
    /// The user with this name.
    pub fn named(name: &str) -> Option<Self> {
        User::from_name(name).ok().flatten().map(Self::of)
    }

    /// The user with this number, known to the system or not.
    pub fn numbered(uid: u32) -> Self {
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let nobody = || Self { name: uid.to_string(), uid, groups: Vec::new() };
        user.map_or_else(nobody, Self::of)
    }

    /// Who this process is.
    pub fn current() -> Self {
        let mut who = Self::numbered(geteuid().as_raw());
        who.groups.push(getegid().as_raw());
        who
    }

    fn of(user: User) -> Self {
        let name = std::ffi::CString::new(user.name.as_str()).ok();
        let groups = name.and_then(|name| getgrouplist(&name, user.gid).ok());
        let groups = groups.unwrap_or_else(|| vec![user.gid]);
        let groups = groups.into_iter().map(Gid::as_raw).collect();
        Self { name: user.name, uid: user.uid.as_raw(), groups }
    }

    /// Whether owner and mode let this user do that. Access control lists are not looked at.
    pub fn may(&self, wish: Wish, mode: u32, owner: u32, group: u32) -> bool {
        let (bits, _) = wish.bits();
        let shift = if self.uid == owner {
            6
        } else if self.groups.contains(&group) {
            3
        } else {
            0
        };
        self.uid == 0 || (mode >> shift) & bits == bits
    }
}

/// What is in the way of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Barrier {
    path: PathBuf,
    wish: Wish,
    who: String,
    facts: Option<(u32, bool, u32, u32)>,
    /// Owner and mode would allow it.
    hidden: bool,
}

impl Barrier {
    fn new(path: &Path, wish: Wish, who: &Who) -> Self {
        let facts = path.metadata().ok();
        let hidden = facts.as_ref().is_some_and(|facts| permits(who, wish, facts));
        let facts = facts.map(|facts| (facts.mode(), facts.is_dir(), facts.uid(), facts.gid()));
        Self { path: path.to_owned(), wish, who: who.name.clone(), facts, hidden }
    }

    /// What opens it.
    pub fn remedy(&self) -> String {
        let path = self.path.display();
        if self.hidden {
            return format!(
                "owner and mode allow it; look for ProtectHome=, ProtectSystem= and InaccessiblePaths= of the unit, \
                 for an ACL (getfacl {path}), and for denials of AppArmor or SELinux (journalctl -k -g denied)"
            );
        }
        let (_, letters) = self.wish.bits();
        let who = &self.who;
        if self.wish == Wish::Connect {
            return "`chmod-socket = 660` and `chown-socket = rwsgi:www-data`, or chmod-socket = 666".to_owned();
        }
        if self.wish == Wish::Write {
            return format!("setfacl -m u:{who}:rwx {path}, or: chown {who} {path}");
        }
        if self.wish == Wish::Change {
            return format!("chown {who} {path}, or: setfacl -m u:{who}:rw {path}");
        }
        format!("setfacl -m u:{who}:{letters} {path}, or for everybody: chmod o+{letters} {path}")
    }
}

impl fmt::Display for Barrier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        let is_directory = self.facts.is_none_or(|(_, is_directory, ..)| is_directory);
        let what = match (self.wish, is_directory) {
            (Wish::Read, true) => "list the directory",
            (Wish::Read, false) => "read",
            (Wish::Write, _) => "make files in",
            (Wish::Change, _) => "write",
            (Wish::Enter, true) => "enter the directory",
            (Wish::Enter, false) => "execute",
            (Wish::Connect, _) => "connect to",
        };
        write!(f, "user {} may not {what} {path}", self.who)?;
        let Some((mode, is_directory, uid, gid)) = self.facts else { return Ok(()) };
        let kind = if is_directory { 'd' } else { '-' };
        let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
        let user = user.map_or_else(|| uid.to_string(), |user| user.name);
        let group = Group::from_gid(Gid::from_raw(gid)).ok().flatten();
        let group = group.map_or_else(|| gid.to_string(), |group| group.name);
        write!(f, " ({kind}{} {user}:{group})", letters(mode))
    }
}

/// `rwxr-x---`.
fn letters(mode: u32) -> String {
    let letter =
        |bit: u32| if mode >> bit & 1 == 0 { '-' } else { ['x', 'w', 'r'][bit as usize % 3] };
    (0..9).rev().map(letter).collect()
}

fn permits(who: &Who, wish: Wish, facts: &Metadata) -> bool {
    who.may(wish, facts.mode(), facts.uid(), facts.gid())
}

/// What keeps this process from `path`, as the kernel sees it; `None` if nothing does, or if it is
/// not there.
pub fn barrier(path: &Path, wish: Wish) -> Option<Barrier> {
    let closed = |path: &Path, wish: Wish| {
        let answer = faccessat(AT_FDCWD, path, wish.flags(), AtFlags::AT_EACCESS);
        answer == Err(nix::errno::Errno::EACCES)
    };
    first(path, wish, closed).map(|(path, wish)| Barrier::new(&path, wish, &Who::current()))
}

/// What keeps `who` from `path`, by owners and modes as far as they can be seen from here.
pub fn barrier_for(who: &Who, path: &Path, wish: Wish) -> Option<Barrier> {
    let closed =
        |path: &Path, wish: Wish| path.metadata().is_ok_and(|facts| !permits(who, wish, &facts));
    first(path, wish, closed).map(|(path, wish)| Barrier::new(&path, wish, who))
}

/// The first place from the root on that is closed; behind a symbolic link, too.
fn first(path: &Path, wish: Wish, closed: impl Fn(&Path, Wish) -> bool) -> Option<(PathBuf, Wish)> {
    let real = path.canonicalize().ok().filter(|real| real != path);
    [Some(path.to_owned()), real].into_iter().flatten().find_map(|path| {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        let way = above.into_iter().filter(|part| !part.as_os_str().is_empty());
        let way = way.map(|part| (part, Wish::Enter)).chain([(path.as_path(), wish)]);
        way.into_iter()
            .find(|&(part, wish)| closed(part, wish))
            .map(|(part, wish)| (part.to_owned(), wish))
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn stranger() -> Who {
        Who { name: "web".into(), uid: 4_000_000, groups: vec![4_000_001] }
    }

    fn tree() -> tempfile::TempDir {
        let tree = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(tree.path().join("home/site")).unwrap();
        std::fs::write(tree.path().join("home/site/wsgi.py"), "").unwrap();
        chmod(tree.path(), 0o755);
        chmod(&tree.path().join("home"), 0o755);
        chmod(&tree.path().join("home/site"), 0o755);
        chmod(&tree.path().join("home/site/wsgi.py"), 0o644);
        tree
    }

    fn chmod(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn what_is_open_has_no_barrier() {
        let tree = tree();
        let file = tree.path().join("home/site/wsgi.py");
        assert_eq!(barrier_for(&stranger(), &file, Wish::Read), None);
        assert_eq!(barrier(&file, Wish::Read), None);
    }

    #[test]
    fn the_closed_directory_is_named_and_not_the_file_in_it() {
        let tree = tree();
        let home = tree.path().join("home");
        chmod(&home, 0o700);
        let found = barrier_for(&stranger(), &home.join("site/wsgi.py"), Wish::Read).unwrap();
        let told = found.to_string();
        assert!(
            told.starts_with(&format!("user web may not enter the directory {}", home.display())),
            "{told}"
        );
        assert!(told.contains("(drwx------ "), "{told}");
        let command = format!("setfacl -m u:web:x {}", home.display());
        assert!(found.remedy().contains(&command), "{}", found.remedy());
    }

    #[test]
    fn what_a_link_leads_through_counts() {
        let tree = tree();
        let home = tree.path().join("home");
        chmod(&home, 0o700);
        let link = tree.path().join("current");
        symlink(home.join("site"), &link).unwrap();
        let found = barrier_for(&stranger(), &link.join("wsgi.py"), Wish::Read).unwrap();
        assert_eq!(found.path, home.canonicalize().unwrap());
    }

    #[test]
    fn a_group_counts_and_root_is_never_stopped() {
        let mut who = stranger();
        assert!(!who.may(Wish::Read, 0o640, 1, 7));
        who.groups.push(7);
        assert!(who.may(Wish::Read, 0o640, 1, 7));
        // The owner has what the owner has, whatever the group may do.
        assert!(!who.may(Wish::Read, 0o040, who.uid, 7));
        who.uid = 0;
        assert!(who.may(Wish::Write, 0, 1, 7));
    }

    #[test]
    fn what_modes_allow_and_the_kernel_does_not_has_another_remedy() {
        let tree = tree();
        let found = Barrier::new(tree.path(), Wish::Enter, &stranger());
        assert!(found.remedy().contains("ProtectHome="), "{}", found.remedy());
    }
}
