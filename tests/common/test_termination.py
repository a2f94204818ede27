"""Signals end a command as Ctrl-C does, wherever they come."""

import os
import signal
import subprocess
import sys
import time

import pytest

from genmint.common.termination import signals_interrupt

SIGNALS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]


class Finalised:
    """Sends this process a signal when it is deleted, where Python loses exceptions."""

    def __init__(self, number):
        self.number = number

    def __del__(self):
        os.kill(os.getpid(), self.number)
        # The handler runs before the next line does.
        time.sleep(0.001)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_comes_while_an_object_is_finalised_is_not_lost(number, capsys):
    with pytest.raises(KeyboardInterrupt), signals_interrupt():  # noqa: PT012
        doomed = Finalised(number)
        del doomed
        time.sleep(5)
        raise AssertionError("went on")
    assert capsys.readouterr().err == ""


def test_other_exceptions_that_are_lost_are_told_as_ever(monkeypatch):
    told = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)

    class Broken:
        def __del__(self):
            raise ValueError("in here")

    with signals_interrupt():
        broken = Broken()
        del broken
    assert [type(each.exc_value) for each in told] == [ValueError]
    assert sys.unraisablehook == told.append


@pytest.mark.parametrize("seconds", [0.05, 0.15, 0.3])
def test_ctrl_c_at_the_start_is_no_traceback(seconds):
    """Before the command line is read, and while it is."""
    command = [sys.executable, "-m", "genmint", "--help"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    time.sleep(seconds)
    process.send_signal(signal.SIGINT)
    said = process.communicate()[1]
    # Python itself may show where it was, before it has reached the first line of ours.
    assert "genmint/c" not in said, said
    assert process.returncode in (0, 1, -signal.SIGINT, 130), said


def test_ctrl_c_while_the_command_line_is_read(monkeypatch, capsys):
    from genmint import cli

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "_app", interrupted)
    assert cli.run(["status"]) == 130
    assert capsys.readouterr().err == "\ngenmint: interrupted\n"


@pytest.mark.parametrize(
    ("interruption", "shown"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (KeyboardInterrupt("ended by SIGTERM"), "ended by SIGTERM"),
    ],
)
def test_an_interrupted_verb_says_so(monkeypatch, capsys, interruption, shown):
    from genmint import cli

    def interrupted():
        raise interruption

    monkeypatch.setitem(cli._SECTIONS["Set up"], "doctor", interrupted)
    assert cli.run(["doctor"]) == 130
    assert capsys.readouterr().err == f"\ngenmint doctor: {shown}\n"
