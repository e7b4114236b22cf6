//! Who a user is to the kernel.

use std::ffi::CString;

use nix::unistd::{Gid, Uid, User, getgrouplist};

/// The groups of a user, and the first of them unless that is said.
pub fn groups(uid: u32, gid: Option<u32>) -> (Vec<Gid>, Option<Gid>) {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let gid = gid.map(Gid::from_raw).or(user.as_ref().map(|user| user.gid));
    let name = user.and_then(|user| CString::new(user.name).ok());
    let all = name.zip(gid).and_then(|(name, gid)| getgrouplist(&name, gid).ok());
    (all.unwrap_or_else(|| gid.into_iter().collect()), gid)
}
