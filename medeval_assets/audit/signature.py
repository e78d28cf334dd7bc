"""Detached signatures by the tools that people have keys for: `ssh-keygen -Y` and `minisign`."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from medeval_assets.errors import BadInput, Problem

NAMESPACE = "medeval"
"""What SSH signatures are made for, so that one made for another purpose is none of ours."""

Kind = Literal["ssh", "minisign"]

ENDINGS: dict[Kind, str] = {"ssh": ".sig", "minisign": ".minisig"}
"""What is put behind the name of a file for that of its signature."""

_TOOLS: dict[Kind, tuple[str, str]] = {
    "ssh": ("ssh-keygen", "Install OpenSSH 8.2 or newer."),
    "minisign": ("minisign", "Install minisign."),
}
_LARGEST_KEY = 1 << 20


@dataclass(frozen=True)
class Signature:
    """A detached signature: which tool made it, and what it wrote."""

    kind: Kind
    content: bytes


def kind_of_secret(key: Path) -> Kind:
    """Whose key this is: an SSH private key (or the public one of a key that an agent holds), or minisign's."""
    text = _text(key)
    if text.startswith("untrusted comment:") and "minisign public key" not in text.partition("\n")[0]:
        return "minisign"
    if "PRIVATE KEY-----" in text.partition("\n")[0] or _is_ssh_public(text):
        return "ssh"
    raise BadInput(
        [Problem(str(key), "it is no key to sign with", "Name an SSH private key or a minisign secret key.")]
    )


def sign(content: bytes, key: Path) -> Signature:
    """Sign with the key; its tool asks for the passphrase on the terminal. BadInput where it does not sign."""
    kind = kind_of_secret(key)
    secret = str(key.absolute())
    if kind == "ssh":
        done = _run(kind, ["-Y", "sign", "-q", "-n", NAMESPACE, "-f", secret], content)
        signed = done.stdout
    else:
        # minisign reads files only, and its passphrase from stdin.
        with tempfile.TemporaryDirectory() as folder:
            message, written = Path(folder) / "manifest", Path(folder) / "signature"
            message.write_bytes(content)
            comment = f"{NAMESPACE} manifest of the lake's files"
            done = _run(kind, ["-S", "-s", secret, "-m", str(message), "-x", str(written), "-t", comment])
            signed = written.read_bytes() if written.is_file() else b""
    if done.returncode or not signed:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        what = f"{_TOOLS[kind][0]} did not sign with it{f' ({said[-1]})' if said else ''}"
        raise BadInput([Problem(str(key), what, "Check the key, its passphrase and its permissions.")])
    return Signature(kind, signed)


def signature_beside(path: Path) -> Signature | None:
    """The signature that lies beside a file, if there is one."""
    for kind, ending in ENDINGS.items():
        signature = path.with_name(path.name + ending)
        if signature.is_file():
            return Signature(kind, signature.read_bytes())
    return None


def is_valid(
    content: bytes, signature: Signature, *, public_key: Path | None = None, allowed_signers: Path | None = None
) -> bool:
    """Whether the signature is one of the public key, or of anybody in an `allowed_signers` file of SSH.

    BadInput where the key or the file is of another kind than the signature, or the tool is not installed.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        message, signed = folder / "manifest", folder / "signature"
        message.write_bytes(content)
        signed.write_bytes(signature.content)
        if signature.kind == "minisign":
            if public_key is None:
                raise BadInput([_other_kind("a minisign signature", "Give the signer's minisign public key.")])
            if _is_ssh_public(_text(public_key)):
                raise BadInput([_other_kind("a minisign signature", "Give the signer's minisign public key.")])
            arguments = ["-V", "-q", "-p", str(public_key.absolute()), "-m", str(message), "-x", str(signed)]
            return _run("minisign", arguments).returncode == 0
        if public_key is not None:
            key = _text(public_key).strip()
            if not _is_ssh_public(key) or "\n" in key:
                raise BadInput([_other_kind("an SSH signature", "Give the signer's SSH public key (`….pub`).")])
            allowed = folder / "allowed"
            allowed.write_text(f'{NAMESPACE} namespaces="{NAMESPACE}" {key}\n', encoding="utf-8")
        elif allowed_signers is not None:
            _text(allowed_signers)
            allowed = allowed_signers.absolute()
        else:
            raise BadInput([_other_kind("an SSH signature", "Give a public key or a file of allowed signers.")])
        return _is_of_allowed(content, signed, allowed)


def _is_of_allowed(content: bytes, signed: Path, allowed: Path) -> bool:
    found = _run("ssh", ["-Y", "find-principals", "-s", str(signed), "-f", str(allowed)])
    # One key may stand there under several names.
    names = [name for line in found.stdout.decode(errors="replace").splitlines() for name in line.split(",")]
    if found.returncode:
        return False
    rest = ["-n", NAMESPACE, "-s", str(signed), "-f", str(allowed)]
    return any(
        _run("ssh", ["-Y", "verify", "-I", name, *rest], content).returncode == 0 for name in names if name.strip()
    )


def _run(kind: Kind, arguments: Sequence[str], stdin: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    tool, remedy = _TOOLS[kind]
    program = shutil.which(tool)
    if program is None:
        raise BadInput([Problem(tool, "it is not installed", remedy)])
    # minisign asks for the passphrase on stderr and reads it from stdin; stdout belongs to our own results.
    if arguments[0] == "-S":
        done = subprocess.run([program, *arguments], stdout=2, check=False)  # noqa: S603 - the user's own tool
        return subprocess.CompletedProcess(done.args, done.returncode, b"", b"")
    return subprocess.run(  # noqa: S603 - the user's own tool, with arguments of ours
        [program, *arguments], input=stdin, capture_output=True, check=False
    )


def _is_ssh_public(text: str) -> bool:
    return text.startswith(("ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"))


def _other_kind(what: str, remedy: str) -> Problem:
    return Problem("manifest", f"it has {what}, which cannot be checked with what was given", remedy)


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_KEY).decode(errors="replace")
    except OSError as error:
        raise BadInput([Problem(str(path), f"it cannot be read ({error.strerror})", "Check the path.")]) from error
