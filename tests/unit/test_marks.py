"""Every mark that a user makes can be made over HTTP and on a socket, and every mark can be told of."""

from domain.states import STATES, Mark
from entrypoints.http import inbox
from entrypoints.live.asyncapi import CLIENT_FRAMES, tag
from entrypoints.live.frames import Marking
from entrypoints.live.protocol import Change
from entrypoints.web.schemas import NotificationBody
from tests.states import COMMANDS


def test_a_user_makes_every_mark_but_those_of_the_service() -> None:
    assert set(Mark) - set(COMMANDS.values()) == {Mark.ACTED, Mark.SNOOZED, Mark.WOKEN, Mark.RETRACTED}


def test_each_has_a_command_on_a_socket() -> None:
    frames = [frame for frame in CLIENT_FRAMES if issubclass(frame, Marking)]

    assert {tag(frame): frame.mark for frame in frames} == COMMANDS


def test_each_has_a_path() -> None:
    paths = {path for handler in inbox.HANDLERS for path in handler.paths}

    assert {f"/v1/users/{{user_id:str}}/notifications/{command}" for command in COMMANDS} <= paths


def test_a_frame_and_a_notification_have_a_field_for_each_state() -> None:
    assert set(Change.__struct_fields__) == set(STATES) <= set(NotificationBody.__struct_fields__)
