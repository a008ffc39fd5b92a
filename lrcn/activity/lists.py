"""Which videos to evaluate, and their labels: the authors' list files and UCF101's own."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import Error

UCF101_CLASSES = (
    "ApplyEyeMakeup",
    "ApplyLipstick",
    "Archery",
    "BabyCrawling",
    "BalanceBeam",
    "BandMarching",
    "BaseballPitch",
    "Basketball",
    "BasketballDunk",
    "BenchPress",
    "Biking",
    "Billiards",
    "BlowDryHair",
    "BlowingCandles",
    "BodyWeightSquats",
    "Bowling",
    "BoxingPunchingBag",
    "BoxingSpeedBag",
    "BreastStroke",
    "BrushingTeeth",
    "CleanAndJerk",
    "CliffDiving",
    "CricketBowling",
    "CricketShot",
    "CuttingInKitchen",
    "Diving",
    "Drumming",
    "Fencing",
    "FieldHockeyPenalty",
    "FloorGymnastics",
    "FrisbeeCatch",
    "FrontCrawl",
    "GolfSwing",
    "Haircut",
    "Hammering",
    "HammerThrow",
    "HandstandPushups",
    "HandstandWalking",
    "HeadMassage",
    "HighJump",
    "HorseRace",
    "HorseRiding",
    "HulaHoop",
    "IceDancing",
    "JavelinThrow",
    "JugglingBalls",
    "JumpingJack",
    "JumpRope",
    "Kayaking",
    "Knitting",
    "LongJump",
    "Lunges",
    "MilitaryParade",
    "Mixing",
    "MoppingFloor",
    "Nunchucks",
    "ParallelBars",
    "PizzaTossing",
    "PlayingCello",
    "PlayingDaf",
    "PlayingDhol",
    "PlayingFlute",
    "PlayingGuitar",
    "PlayingPiano",
    "PlayingSitar",
    "PlayingTabla",
    "PlayingViolin",
    "PoleVault",
    "PommelHorse",
    "PullUps",
    "Punch",
    "PushUps",
    "Rafting",
    "RockClimbingIndoor",
    "RopeClimbing",
    "Rowing",
    "SalsaSpin",
    "ShavingBeard",
    "Shotput",
    "SkateBoarding",
    "Skiing",
    "Skijet",
    "SkyDiving",
    "SoccerJuggling",
    "SoccerPenalty",
    "StillRings",
    "SumoWrestling",
    "Surfing",
    "Swing",
    "TableTennisShot",
    "TaiChi",
    "TennisSwing",
    "ThrowDiscus",
    "TrampolineJumping",
    "Typing",
    "UnevenBars",
    "VolleyballSpiking",
    "WalkingWithDog",
    "WallPushups",
    "WritingOnBoard",
    "YoYo",
)
"""The 101 classes in the order of the labels 0..100 (UCF101's classInd.txt counts the same order from 1)."""


class VideoError(Error):
    """One video cannot be evaluated; the others can."""


@dataclass(frozen=True)
class Video:
    """One video: its name (also the name of its folder of frames), its action and its label, None where unknown."""

    name: str
    action: str | None = None
    label: int | None = None


def read_list(path: str | Path) -> list[Video]:
    """Read a list of videos in either format, one video per line, blank lines ignored.

    - the authors': `Action/v_Action_g01_c01 LABEL`, labels from 0;
    - UCF101's own: `Action/v_Action_g01_c01.avi` with a label from 1 (trainlist) or none (testlist: then the action,
      one of UCF101's, gives the label).

    Raises `Error` naming the line where it is in neither format, where a video occurs twice, or where one action has
    two labels.
    """
    path = Path(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise Error(f"{path}: a list of videos is a text file, this is not one") from None
    videos: dict[str, Video] = {}
    labels: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        place = f"{path}, line {number}"
        video = _parse_line(line.split(), place)
        if video.name in videos:
            raise Error(f"{place}: {video.name} is in the list twice; remove one")
        if labels.setdefault(video.action, video.label) != video.label:
            raise Error(
                f"{place}: action {video.action} has the label {video.label} here and {labels[video.action]} before; "
                f"labels count from 0 in lists without '.avi' and from 1 in lists with it"
            )
        videos[video.name] = video
    if not videos:
        raise Error(f"{path}: the list names no video; expected lines like 'Archery/v_Archery_g01_c01 2'")
    return list(videos.values())


def _parse_line(words: list[str], place: str) -> Video:
    action, slash, file_name = words[0].rpartition("/")
    if not slash or not action or not file_name or len(words) > 2:
        raise Error(
            f"{place}: expected 'Action/v_Action_g01_c01 LABEL' or 'Action/v_Action_g01_c01.avi', "
            f"found {' '.join(words)!r}"
        )
    name = file_name.removesuffix(".avi")
    if len(words) == 1:
        if action not in UCF101_CLASSES:
            raise Error(f"{place}: no label, and {action} is not a class of UCF101; write the label after the name")
        return Video(name, action, UCF101_CLASSES.index(action))
    try:
        label = int(words[1])
    except ValueError:
        raise Error(f"{place}: the label must be a whole number, found {words[1]!r}") from None
    return Video(name, action, label - 1 if file_name != name else label)


def check_labels(videos: Sequence[Video], classes: int) -> None:
    """Raise `Error` naming the first video whose label is not among the `classes` that the networks tell apart."""
    for video in videos:
        if video.label is not None and not 0 <= video.label < classes:
            raise Error(
                f"{video.name}: label {video.label} is out of range, the networks have {classes} classes "
                f"(0..{classes - 1}); is this the list of another data set?"
            )


def class_names(videos: Sequence[Video], classes: int) -> list[str]:
    """Name each of the `classes` labels: by the actions in the list, else as UCF101 does, else 'class 7'."""
    names = list(UCF101_CLASSES) if classes == len(UCF101_CLASSES) else [f"class {label}" for label in range(classes)]
    for video in videos:
        if video.label is not None and video.action is not None:
            names[video.label] = video.action
    return names
