//! A server on the loopback that behaves as it is told.

use std::net::{IpAddr, SocketAddr};

use bailiwick_core::message::Message;
use bailiwick_wire::dns;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, UdpSocket},
};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Behaviour {
    Healthy,
}

pub(crate) struct Running {
    address: SocketAddr,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Running {
    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

pub(crate) async fn start(behaviour: Behaviour) -> Running {
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = udp.local_addr().unwrap();
    let tcp = TcpListener::bind(address).await.unwrap();
    Running {
        address,
        tasks: vec![
            tokio::spawn(serve_udp(udp, behaviour)),
            tokio::spawn(serve_tcp(tcp, behaviour)),
        ],
    }
}

async fn serve_udp(socket: UdpSocket, _behaviour: Behaviour) {
    let mut buffer = [0; 2048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let query = dns::peek(&buffer[..length]).unwrap();
        let reply = dns::encode_reply(&Message::default(), &query);
        socket.send_to(&reply, from).await.unwrap();
    }
}

async fn serve_tcp(listener: TcpListener, behaviour: Behaviour) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(talk(stream, behaviour));
    }
}

async fn talk(mut stream: TcpStream, _behaviour: Behaviour) {
    while let Ok(length) = stream.read_u16().await {
        let mut octets = vec![0; usize::from(length)];
        stream.read_exact(&mut octets).await.unwrap();
        let reply = dns::encode_reply(&Message::default(), &dns::peek(&octets).unwrap());
        let length = u16::try_from(reply.len()).unwrap();
        stream
            .write_all(&[&length.to_be_bytes(), &reply[..]].concat())
            .await
            .unwrap();
    }
}
