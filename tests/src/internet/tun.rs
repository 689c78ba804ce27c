//! A TUN device: the only network card of a simulated host.
//!
//! Whoever holds the [`Tun`] reads each IP packet that the host sends and
//! writes those that it shall receive. The device belongs to the network
//! namespace of the thread that makes it and ends with the file.

// Naming the device is an ioctl that no safe wrapper covers.
#![expect(unsafe_code, reason = "TUNSETIFF")]

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Result, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc;

nix::ioctl_write_ptr_bad!(
    set_interface,
    nix::request_code_write!(b'T', 202, std::mem::size_of::<libc::c_int>()),
    libc::ifreq
);

/// The file behind a TUN device.
#[derive(Debug)]
pub struct Tun(File);

impl Tun {
    /// Makes a device of this name in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// Fails without `/dev/net/tun` or without the right to make a device.
    pub fn create(name: &str) -> Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open("/dev/net/tun")?;
        let flags = libc::c_short::try_from(libc::IFF_TUN | libc::IFF_NO_PI)
            .map_err(std::io::Error::other)?;
        let mut request = libc::ifreq {
            ifr_name: [0; libc::IFNAMSIZ],
            ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_flags: flags },
        };
        for (to, from) in request.ifr_name[..libc::IFNAMSIZ - 1]
            .iter_mut()
            .zip(name.bytes())
        {
            *to = from.cast_signed();
        }
        // SAFETY: `request` is a whole `ifreq` with a name that ends in zero,
        // and it outlives the call.
        unsafe { set_interface(file.as_raw_fd(), &raw const request) }?;
        Ok(Self(file))
    }

    /// Reads the next packet into `buffer`; `None` if there is none now.
    ///
    /// # Errors
    ///
    /// Fails if the device is gone.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Option<usize>> {
        match (&self.0).read(buffer) {
            Ok(length) => Ok(Some(length)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Hands a packet to the host.
    ///
    /// # Errors
    ///
    /// Fails if the host cannot take it, which a network would call loss.
    pub fn send(&self, packet: &[u8]) -> Result<()> {
        (&self.0).write_all(packet)
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
