"""Standard error keeps what matters, and native code's known lines are gone from it."""

import os
import subprocess
import sys
import threading

import pytest

from larun.network.chatter import TENSORFLOW_STARTS, without_chatter


def test_known_lines_are_dropped_and_others_pass(capfd):
    with without_chatter("INFO: made"):
        os.write(2, b"INFO: made a delegate\nERROR: no room\n")
    os.write(2, b"INFO: made later\n")
    assert capfd.readouterr().err == "ERROR: no room\nINFO: made later\n"


def test_what_was_said_before_an_error_passes(capfd):
    @without_chatter("INFO")
    def breaks():
        os.write(2, b"INFO: fine\nnot fine\n")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        breaks()
    assert capfd.readouterr().err == "not fine\n"


def test_threads_leave_standard_error_as_it_was(capfd):
    def speak():
        for _ in range(20):
            with without_chatter("INFO"):
                os.write(2, b"INFO\n")

    threads = [threading.Thread(target=speak) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.write(2, b"end\n")
    assert capfd.readouterr().err == "end\n"


def test_the_start_of_tensorflow_is_chatter_and_its_errors_are_not(capfd):
    with without_chatter(TENSORFLOW_STARTS):
        os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n")
        os.write(2, b"I0000 00:00:1.1 1 port.cc:153] oneDNN custom operations are on.\n")
        os.write(2, b"E0000 00:00:1.1 1 cuda.cc:1] out of memory\n")
    assert capfd.readouterr().err == "E0000 00:00:1.1 1 cuda.cc:1] out of memory\n"


def test_the_classifier_says_nothing():
    code = (
        "import numpy as np\n"
        "from larun.bundles import load_bundle\n"
        "from larun.network.infer import Classifier\n"
        "Classifier(load_bundle('default')).probabilities(np.zeros((1, 1024), np.float32))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stderr == ""
