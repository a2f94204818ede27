"""What stands before trackers elsewhere: TLS, a path, a limit of bodies, a store that is slow."""

import contextlib
import datetime
import ipaddress
import shutil
import sqlite3
import ssl
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """An authority of one's own, which signs for 127.0.0.1 and for clients.

    Attributes:
        certificate: file with its certificate.
    """

    def __init__(self, folder):
        folder.mkdir()
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "an authority")])
        self._signed = self._sign(self._name, self._key, authority=True)
        self.certificate = folder / "authority.pem"
        self.certificate.write_bytes(self._signed.public_bytes(serialization.Encoding.PEM))

    def issue(self, name):
        """Write a certificate and its key into one file, and return the file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        path = self._folder / f"{name}.pem"
        path.write_bytes(
            self._sign(subject, key, authority=False).public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return path

    def _sign(self, subject, key, *, authority):
        now = datetime.datetime.now(datetime.UTC)
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
            .add_extension(
                x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()),
                critical=False,
            )
        )
        if authority:
            usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
            builder = builder.add_extension(usage, critical=True)
        else:
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


class Proxy:
    """Answers every request on loopback by `serve(request)`, until it is closed.

    Attributes:
        address: where it listens.
        protocol: version of HTTP that it speaks.
    """

    protocol = "HTTP/1.1"

    def __init__(self, context=None):
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = self.protocol
            server_version, sys_version = "front/1.0", ""

            def handle_one(self):
                proxy.serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_CONNECT = handle_one  # noqa: N815

            def log_message(self, *arguments):
                pass

        self._server = _Server(("127.0.0.1", 0), Handler)
        self._server.context = context
        scheme = "http" if context is None else "https"
        self.address = f"{scheme}://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


class Front(Proxy):
    """A reverse proxy before a real tracker.

    Attributes:
        address: that clients are told.
        limit: of a body in bytes; None takes all.
        manner: what becomes of a larger one. "drain" answers 413 and reads it, as nginx does,
            "abrupt" answers and hangs up, "silent" hangs up.
        upload_seconds: how long the store takes for an upload.
        slow_uploads: how many uploads it takes so long for.
        asked: method, path and login of each request.
        uploads: size of each file that was sent, whether it was taken or not.
    """

    def __init__(self, target, *, prefix="", authority=None, clients=False):
        self.target, self.prefix = target, prefix
        self.limit, self.manner, self.upload_seconds = None, "drain", 0.0
        self.slow_uploads = 10**6
        self.asked, self.uploads = [], []
        super().__init__(None if authority is None else _context(authority, clients))
        self.address += prefix

    def serve(self, request):
        login = request.headers.get("Authorization")
        self.asked.append((request.command, request.path, login))
        length = int(request.headers.get("Content-Length", 0))
        if request.command == "PUT":
            self.uploads.append(length)
        if self.limit is not None and length > self.limit:
            self._refuse(request, length)
            return
        body = request.rfile.read(length)
        if not request.path.startswith(self.prefix):
            _answer(request, 404, b"<html>no such page</html>", "text/html")
            return
        if request.command == "PUT" and self.slow_uploads > 0:
            self.slow_uploads -= 1
            time.sleep(self.upload_seconds)
        passed = {k: v for k, v in request.headers.items() if k not in ("Host", "Connection")}
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.request(
                    request.command,
                    self.target + request.path.removeprefix(self.prefix),
                    data=body,
                    headers=passed,
                    timeout=60,
                )
            except requests.ConnectionError:
                _answer(request, 502, b"<html>502 Bad Gateway</html>", "text/html")
                return
        kind = answer.headers.get("Content-Type", "application/json")
        _answer(request, answer.status_code, answer.content, kind)

    def _refuse(self, request, length):
        request.close_connection = True
        if self.manner != "silent":
            _answer(request, 413, b"<html>413 Request Entity Too Large</html>", "text/html")
        if self.manner == "drain":
            request.rfile.read(length)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    context = None

    def finish_request(self, request, client_address):
        # The handshake is the business of the request's own thread.
        with contextlib.suppress(OSError):
            if self.context is None:
                super().finish_request(request, client_address)
                return
            with self.context.wrap_socket(request, server_side=True) as wrapped:
                super().finish_request(wrapped, client_address)


class Forward(Proxy):
    """A forward proxy that gives no way to loopback, and notes who asked for it."""

    protocol = "HTTP/1.0"

    def __init__(self):
        self.asked = []
        super().__init__()

    def serve(self, request):
        self.asked.append(f"{request.command} {request.path}")
        _answer(request, 502, b"a proxy gives no way to loopback", "text/plain")


def empty_store_of_a_server(empty_store, folder):
    """Copy a store without runs into a folder; a server on it takes and gives the files itself."""
    shutil.copy(empty_store, folder / "mlflow.db")
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.execute("UPDATE experiments SET artifact_location = 'mlflow-artifacts:/1'")
        database.commit()
    return folder


def _context(authority, clients):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.issue("server"))
    if clients:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(authority.certificate)
    return context


def _answer(request, status, content, kind):
    with contextlib.suppress(OSError):
        request.send_response(status)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(content)))
        if request.close_connection:
            request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write(content)
        request.wfile.flush()
