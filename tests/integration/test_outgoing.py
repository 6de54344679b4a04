"""Requests with a real TLS server on loopback, whose certificate is for one of its two names."""

from __future__ import annotations

import ssl
import subprocess
import threading
from collections.abc import Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

import httpx2
import pytest

from headway.outgoing.addresses import LOOPBACK, Address, Allowed
from headway.outgoing.transport import GuardedTransport


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # which keeps connections, if the client does

    def do_GET(self) -> None:
        host = self.headers["Host"]
        status, target = (302, self.path[1:]) if self.path.startswith("/https:") else (200, "")
        self.send_response(status)
        self.send_header("Location", target)
        self.send_header("Content-Length", str(len(host)))
        self.end_headers()
        self.wfile.write(host.encode())

    def log_message(self, *_: object) -> None: ...


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tls") / "shop.pem"
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
    names = ["-subj", "/CN=shop", "-addext", "subjectAltName=DNS:shop.test"]
    out = ["-keyout", str(path), "-out", f"{path}.crt"]
    subprocess.run(["openssl", "req", "-x509", *ec, *names, *out], check=True, capture_output=True)
    return path


@pytest.fixture
def port(certificate: Path) -> Iterator[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{certificate}.crt", certificate)
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.fixture
def client(certificate: Path) -> Iterator[httpx2.Client]:
    def here(host: str, port: int) -> Sequence[Address]:
        return [ip_address("127.0.0.1")]

    trusted = ssl.create_default_context(cafile=f"{certificate}.crt")
    guarded = GuardedTransport(Allowed.parse(LOOPBACK), resolve=here, verify=trusted)
    with httpx2.Client(transport=guarded, follow_redirects=True, trust_env=False) as made:
        yield made


def test_the_certificate_is_held_against_the_name(client: httpx2.Client, port: int) -> None:
    answer = client.get(f"https://shop.test:{port}/")
    assert answer.text == f"shop.test:{port}"
    with pytest.raises(httpx2.ConnectError, match=r"other\.test"):
        client.get(f"https://other.test:{port}/")


def test_another_name_of_the_same_address_has_a_connection_of_its_own(
    client: httpx2.Client, port: int
) -> None:
    """A kept connection would be one whose certificate is for the other name."""
    with pytest.raises(httpx2.ConnectError, match=r"other\.test"):
        client.get(f"https://shop.test:{port}/https://other.test:{port}/")
