"""The program that gives keys: no shell, bounds on time and size, and no word of what it prints."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import time

import pytest
from tests.kit import SECRET, assert_secret, forms

from sealift.errors import CustomerKeyError
from sealift.key_sources.command import run_key_command

TEXT = forms(SECRET)["base64"].decode()


def python(code: str) -> str:
    return shlex.join([sys.executable, "-c", code])


def test_gives_what_the_program_prints() -> None:
    assert run_key_command(python("print('a b', end='')")) == b"a b"
    assert run_key_command("printf '%s' 'a  b'") == b"a  b"


def test_there_is_no_shell() -> None:
    assert run_key_command("echo $HOME `id` > x; y | z") == b"$HOME `id` > x; y | z\n"
    assert not os.path.exists("x")


def test_what_it_says_on_stderr_goes_to_the_user(capfd: pytest.CaptureFixture[str]) -> None:
    run_key_command(python("import sys; print('touch the key', file=sys.stderr)"))
    assert capfd.readouterr() == ("", "touch the key\n")


def test_it_does_not_wait_for_input() -> None:
    code = f"from sealift.key_sources.command import run_key_command as r; print(len(r({'cat'!r})))"
    ended = subprocess.run(
        [sys.executable, "-c", code], input=b"not for it", capture_output=True, check=True
    )
    assert ended.stdout == b"0\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "the key command is empty"),
        ("x 'y", "the key command cannot be read: No closing quotation"),
        ("/no/such/program --token hush", "cannot run the key command /no/such/program: No such"),
        ("x\0y", "cannot run the key command x"),
        ("/etc/passwd", "cannot run the key command /etc/passwd: Permission denied"),
        (python(f"print({TEXT!r}); raise SystemExit(3)"), "ended with exit code 3; run it by hand"),
        (python(f"import os; print({TEXT!r}, flush=True); os.abort()"), "ended by signal 6"),
        (python(f"print({TEXT!r} * 9999)"), "printed more than 65536 bytes"),
    ],
)
def test_failures_are_clear_and_show_nothing(
    command: str, message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(CustomerKeyError, match=message) as caught:
        run_key_command(command)
    assert "hush" not in str(caught.value)
    assert_secret(str(caught.value) + str(caught.value.__context__))
    assert_secret("".join(capfd.readouterr()))


@pytest.mark.parametrize(
    "code",
    [
        "import time; time.sleep(60)",
        "import os, time; os.close(1); time.sleep(60)",
        "import time\nwhile True: print('x', flush=True); time.sleep(0.01)",
    ],
)
def test_it_is_given_up_after_a_while(code: str) -> None:
    began = time.monotonic()
    with pytest.raises(CustomerKeyError, match=r"has not ended within 0\.5 s"):
        run_key_command(python(code), timeout=0.5)
    assert time.monotonic() - began < 10
