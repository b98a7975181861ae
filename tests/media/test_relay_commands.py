import pytest
from hypothesis import given
from hypothesis import strategies as st

from ringbridge.media import relay_commands as commands
from ringbridge.media.relay_commands import (
    BadReply,
    Counters,
    Ports,
    RelayRefused,
    RelaySession,
    Traffic,
    read_counters,
    read_ok,
    read_port,
    read_ports,
    read_traffic,
)
from ringbridge.model.call import Side

CALL = RelaySession("call-1", "198.51.100.1", 20000, 20004, "i1")


def test_one_command_opens_both_sides_and_learns_nothing() -> None:
    assert commands.open_session("c@x", dead_end="127.0.0.1") == b"Ua c@x 127.0.0.1 9 o t && La 127.0.0.1 9"
    assert commands.open_session("c", dead_end="::1") == b"Ua6 c ::1 9 o t && La6 ::1 9"


def test_only_the_legs_named_learn_their_address() -> None:
    assert commands.open_session("c", dead_end="127.0.0.1", learn=[Side.TERMINATION]).startswith(b"Ua c")
    assert b"&& Ls" in commands.open_session("c", dead_end="127.0.0.1", learn=[Side.TERMINATION])


def test_a_party_is_named_by_the_second_tag_of_a_lookup() -> None:
    assert commands.set_remote(CALL, Side.ORIGINATION, "192.0.2.1", 4000) == b"La call-1 192.0.2.1 4000 t o"
    assert commands.set_remote(CALL, Side.TERMINATION, "2001:db8::1", 4000) == b"La6 call-1 2001:db8::1 4000 o t"


def test_prompts_and_the_end() -> None:
    assert commands.play(CALL, Side.ORIGINATION, "prompts/us", payload_types=[8, 0]) == b"P-1 call-1 prompts/us 8,0 o t"
    assert commands.stop_play(CALL, Side.TERMINATION) == b"S call-1 t o"
    assert commands.close_session(CALL) == b"D call-1 o t"


@pytest.mark.parametrize("name", ["", "a b", "a\nX", "a\0", "ü", "x" * 129, "a&&D"])
def test_a_session_id_cannot_smuggle_a_command(name: str) -> None:
    with pytest.raises(ValueError, match="session id"):
        commands.open_session(name, dead_end="127.0.0.1")


@pytest.mark.parametrize(
    ("host", "port"),
    [("", 1), ("phone.example", 1), ("1.2.3.4 && D", 1), ("1.2.3.4\n", 1), ("1.2.3.4", 0), ("::1", 65536)],
)
def test_only_addresses_are_told_to_the_relay(host: str, port: int) -> None:
    with pytest.raises(ValueError, match="address"):
        commands.set_remote(CALL, Side.ORIGINATION, host, port)


@pytest.mark.parametrize(("prompt", "types"), [("", [0]), ("a b", [0]), ("a\n", [0]), ("us", [])])
def test_a_prompt_must_fit_the_protocol(prompt: str, types: list[int]) -> None:
    with pytest.raises(ValueError, match="play"):
        commands.play(CALL, Side.ORIGINATION, prompt, payload_types=types)


def test_replies_are_read() -> None:
    assert read_ports(b"34246 127.0.0.1 && 30118 127.0.0.1\n") == Ports(orig_port=30118, term_port=34246)
    assert read_port(b"34246 127.0.0.1\n") == 34246
    assert read_counters(b"5 3 99\n") == Counters(5, 3, 99)
    assert read_counters(b"5 3 99\n").sessions == 2
    assert read_traffic(b"60 1 2 3 4\n") == Traffic(60, 2, 1, 3, 4)
    read_ok(b"0\n")


def test_errors_say_what_they_mean() -> None:
    with pytest.raises(RelayRefused, match="no such session") as refused:
        read_ok(b"E50\n")
    assert refused.value.is_gone
    with pytest.raises(RelayRefused, match="no ports") as refused:
        read_ports(b"E72\n")
    assert not refused.value.is_gone


def test_a_lookup_of_nothing_says_port_zero() -> None:
    with pytest.raises(RelayRefused) as refused:
        read_port(b"0\n")
    assert refused.value.is_gone


@given(st.binary(max_size=60))
def test_any_reply_is_read_or_refused(reply: bytes) -> None:
    for read in (read_ports, read_port, read_ok, read_counters, read_traffic):
        try:
            read(reply)
        except (RelayRefused, BadReply):
            continue


def test_a_leg_is_recorded_by_itself() -> None:
    assert commands.record(CALL, Side.ORIGINATION, "acme@s-1@7@o") == b"C call-1 acme@s-1@7@o o t"
    assert commands.record(CALL, Side.TERMINATION, "x") == b"C call-1 x t o"
    assert commands.stop_record(CALL, Side.TERMINATION) == b"N call-1 t o"


@pytest.mark.parametrize("name", ["", "a b", "../x", "udp:127.0.0.1/1", "x" * 241, "a\nb"])
def test_a_recording_is_a_file_of_the_folder(name: str) -> None:
    with pytest.raises(ValueError, match="not a name"):
        commands.record(CALL, Side.ORIGINATION, name)
