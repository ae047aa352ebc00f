"""How servers are configured for the tests: users, roles, tokens, TLS, and certificates, made anew each time."""

import datetime
import ipaddress

import bcrypt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# Lengths 12, 13 and 14, so that Basic needs each kind of base64 padding.
USERS = {"ada": "secret-ada12", "bob": "secret-bob123", "eve": "secret-eve1234"}
ISSUER, AUDIENCE = "https://id.test", "fjord"
ADMIN, WRITER, READER = "ada", "bob", "eve"


def password_config(folder):
    """Users in a file: ada may everything, bob writes, eve reads."""
    users = folder / "users"
    users.write_text("".join(f"{user}:{hashed(password)}\n" for user, password in USERS.items()))
    users.chmod(0o600)
    return f"""
[user.{ADMIN}]
role = "admin"
[user.{WRITER}]
role = "writer"
write = "*"
[user.{READER}]
role = "reader"
[auth]
passwords = "{users}"
"""


def hashed(password):
    """A bcrypt line as `htpasswd -B` writes it."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(8)).decode().replace("$2b$", "$2y$")


def jwt_config(certificates):
    return f"""
[auth.jwt]
issuer = "{ISSUER}"
audience = "{AUDIENCE}"
public_keys = ["{certificates.jwt_public_key}"]
"""


def tls_config(certificates):
    return f"""
[tls]
certificate = "{certificates.server_certificate}"
key = "{certificates.server_key}"
"""


def mtls_config(certificates):
    return f"""
[auth.mtls]
required = true
{tls_config(certificates)}
client_ca = "{certificates.authority}"
"""


class Certificates:
    """An authority, a server's certificate for 127.0.0.1, a client's for ada, and the key of an identity provider."""

    def __init__(self, folder):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        key, root = self._signed("fjord test authority", None, None, is_authority=True)
        self.authority = self._write("authority.pem", root.public_bytes(serialization.Encoding.PEM))
        self.server_certificate, self.server_key = self._pair("server", "localhost", root, key)
        self.client_certificate, self.client_key = self._pair("client", ADMIN, root, key)
        self.jwt_key = ec.generate_private_key(ec.SECP256R1())
        public = self.jwt_key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.jwt_public_key = self._write("jwt.pem", public)

    def _write(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        path.chmod(0o600)
        return path

    def _pair(self, file, name, issuer, issuer_key):
        key, certificate = self._signed(name, issuer, issuer_key, is_authority=False)
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        written = certificate.public_bytes(serialization.Encoding.PEM)
        return self._write(f"{file}.pem", written), self._write(f"{file}.key", pem)

    @staticmethod
    def _signed(name, issuer, issuer_key, is_authority):
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer.subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=2))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
        )
        if not is_authority:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return key, builder.sign(issuer_key or key, hashes.SHA256())
