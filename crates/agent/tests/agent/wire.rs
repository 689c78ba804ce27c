//! The way between agent and coordinator, which can be cut.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A piece of wire.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    /// Connections that came.
    pub(crate) connections: Arc<AtomicUsize>,
    open: watch::Sender<bool>,
    carrying: JoinHandle<()>,
}

impl Wire {
    pub(crate) async fn to(coordinator: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, opened) = watch::channel(true);
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        let carrying = tokio::spawn(async move {
            loop {
                let (near, _) = listener.accept().await.unwrap();
                counted.fetch_add(1, Ordering::Relaxed);
                let opened = opened.clone();
                tokio::spawn(carry(near, coordinator, opened));
            }
        });
        Self {
            address,
            connections,
            open,
            carrying,
        }
    }

    /// Cuts all connections, and lets none through.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn join(&self) {
        self.open.send_replace(true);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.carrying.abort();
    }
}

async fn carry(mut near: TcpStream, to: SocketAddr, mut open: watch::Receiver<bool>) {
    if !*open.borrow() {
        return;
    }
    let mut far = TcpStream::connect(to).await.unwrap();
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}
