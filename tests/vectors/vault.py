"""Opens the values of vault.json and computes its codes, as docs/vault.md says: python3 vault.py [vault.json]

Needs the package `cryptography` and nothing else that is not in the standard library.
"""

import hashlib
import hmac
import json
import pathlib
import sys

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

FORMAT = b"certosa vault 1"


def mac(key, data):
    return hmac.new(key, data, hashlib.sha256).digest()


def hkdf(kek, salt, info):
    """RFC 5869 for 32 bytes: one extraction and the first block of the expansion."""
    return mac(mac(salt or bytes(32), kek), FORMAT + b" " + info + b"\x01")


def parts(*all):
    """Each part behind its length: 4 bytes, the highest first."""
    return b"".join(len(part).to_bytes(4, "big") + part for part in all)


def open_value(it):
    kek, salt, kek_id = it["kek"], it["salt"], it["kek_id"]
    assert hkdf(kek, b"", b"id")[:16] == kek_id, "another KEK"
    assert hmac.compare_digest(hkdf(kek, salt, b"commit"), it["commitment"]), "the commitment does not fit"
    bound = parts(FORMAT, it["vault"], it["name"].encode(), it["version"].to_bytes(8, "big"), it["rule"])
    data_key = AESGCM(hkdf(kek, salt, b"wrap")).decrypt(it["wrap_nonce"], it["wrapped_key"], bound + parts(kek_id))
    return AESGCM(data_key).decrypt(it["nonce"], it["ciphertext"], bound)


def check_codes(it):
    kek, vault, name, number = it["kek"], it["vault"], it["name"].encode(), it["generation"].to_bytes(8, "big")
    records = hkdf(kek, vault, b"records")
    data = parts(FORMAT + b" credential", vault, name, it["rule"], it["created"].to_bytes(8, "big"))
    for version in it["versions"]:
        until = version["retires_at"]
        data += parts(version["version"].to_bytes(8, "big"), version["state"].encode())
        data += parts(version["created"].to_bytes(8, "big"), until.to_bytes(8, "big") if until else b"")
        sealed = [bytes.fromhex(part) for part in version["sealed"]]
        data += parts(b"") if version["state"] == "revoked" else parts(*sealed)
    assert mac(records, data) == it["credential_mac"], "the code of the credential"
    assert hkdf(kek, vault, b"check") == it["kek_check"], "the check value of the KEK"
    head = parts(FORMAT + b" head", vault, (1).to_bytes(8, "big"), number, it["kek_id"], it["kek_check"], b"")
    content = mac(records, head + parts(name, it["credential_mac"]))
    assert content == it["vault_mac"], "the code of the vault"
    code = mac(hkdf(kek, vault, b"generation"), parts(b"certosa vault generation 1", vault, number, content))
    assert f"{it['generation']} {content.hex()} {code.hex()}" == it["generation_line"], "the line of the file"


def check_passphrase(it):
    numbers, salt = it["derivation"][:12], it["derivation"][12:]
    memory, passes, lanes = (int.from_bytes(numbers[at : at + 4], "big") for at in (0, 4, 8))
    argon2 = Argon2id(salt=salt, length=32, iterations=passes, lanes=lanes, memory_cost=memory)
    assert hkdf(argon2.derive(it["phrase"].encode()), b"", b"id")[:16] == it["kek_id"], "the KEK of a passphrase"


def read(it):
    """Members that are bytes are written in hex."""
    plain = ("name", "what", "phrase", "generation_line")
    return {key: bytes.fromhex(it[key]) if isinstance(it[key], str) and key not in plain else it[key] for key in it}


vectors = json.loads(pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).with_name("vault.json")).read_text())
for it in map(read, vectors["sealed"]):
    assert open_value(it) == it["value"], it["what"]
check_codes(read(vectors["codes"]))
check_passphrase(read(vectors["passphrase"]))
print(f"{len(vectors['sealed'])} values opened, codes and passphrase are right")
