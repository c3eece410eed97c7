//! Going on without root.

use anyhow::{Context, bail, ensure};
use nix::sys::prctl;
use nix::unistd::{Uid, User, geteuid, getresgid, getresuid, setgid, setgroups, setuid};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Becomes `name` for good. A process that is not root stays who it is, and gives up its capabilities.
///
/// Called when everything is open that needs root, and before the first packet is read.
pub(crate) fn drop_to(name: &str) -> anyhow::Result<()> {
    if !geteuid().is_root() {
        return drop_capabilities().context("cannot give up the capabilities");
    }
    let user = find(name)?;
    become_user(&user).with_context(|| format!("cannot go on as user {name}"))?;
    verify(&user)
}

/// Finds a name that [`drop_to`] would refuse, before anything is opened for it.
pub(crate) fn check(name: &str) -> anyhow::Result<()> {
    if geteuid().is_root() { find(name).map(drop) } else { Ok(()) }
}

fn find(name: &str) -> anyhow::Result<User> {
    let user = User::from_name(name)?.with_context(|| format!("there is no user called {name}"))?;
    ensure!(!user.uid.is_root(), "--user {name} is root, and packets are never read as root");
    Ok(user)
}

fn become_user(user: &User) -> nix::Result<()> {
    // Groups first: afterwards the right to change them is gone.
    setgroups(&[])?;
    setgid(user.gid)?;
    setuid(user.uid)?;
    // Nor may a set-user-ID program give anything back.
    prctl::set_no_new_privs()
}

/// Those of this thread, and so of all that it starts. A service has them in place of root, to open its device. With
/// the permitted ones the ambient ones go as well.
fn drop_capabilities() -> anyhow::Result<()> {
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    set_capabilities(None, none)?;
    prctl::set_no_new_privs()?;
    ensure!(capabilities(None)? == none, "they were given up, and yet are not gone");
    Ok(())
}

/// Trusts no return value: asks for root, and must not get it.
fn verify(user: &User) -> anyhow::Result<()> {
    let (uid, gid) = (getresuid()?, getresgid()?);
    let uids = [uid.real, uid.effective, uid.saved];
    let gids = [gid.real, gid.effective, gid.saved];
    if uids != [user.uid; 3] || gids != [user.gid; 3] || setuid(Uid::from_raw(0)).is_ok() {
        bail!("privileges were given up, and yet are not gone");
    }
    Ok(())
}
