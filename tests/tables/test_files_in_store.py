"""FileSource on an S3 server: the same frames as from the disk, without a copy."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from pyarrow.fs import FileSystem
from rtsp_support import free_port
from s3_support import SECRET

from overshoot_flow.errors import ConfigurationError, MediaError, OvershootFlowError, StorageError
from overshoot_flow.local.testvideo import VideoSpec, generate
from overshoot_flow.media.frames import Frame
from overshoot_flow.media.reader import FrameReader, probe
from overshoot_flow.media.sampling import EveryFrame, FramesPerSecond
from overshoot_flow_connectors.file import FileSource
from overshoot_flow_connectors.file_identity import difference
from overshoot_flow_connectors.object_video import ObjectVideo, find_object_videos

pytestmark = pytest.mark.xdist_group("s3")
SPEC = VideoSpec(width=160, height=90, fps=10, duration_s=3.0, text=False)


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("video") / "gate.mp4"
    generate(path, SPEC)
    return path


def put(bucket: str, key: str, content: bytes) -> None:
    store, _ = FileSystem.from_uri(f"s3://{bucket}")
    with store.open_output_stream(f"{bucket}/{key}") as stream:
        stream.write(content)


def found(url: str) -> list[str]:
    return [str(each) for each in find_object_videos(url)]


def frames(media: Any, plan: Any, start_us: int = 0) -> list[tuple[int, bytes]]:
    with FrameReader(media, plan, stream_key="k", start_us=start_us) as reader:
        items: list[tuple[int, bytes]] = []
        deadline_s = time.monotonic() + 60
        while not reader.exhausted:
            assert time.monotonic() < deadline_s
            polled = reader.poll(8)
            if not polled:
                time.sleep(0.005)
            for each in polled:
                assert isinstance(each, Frame)
                items.append((each.pts_us, bytes(each.data)))
        return items


@pytest.mark.parametrize("start_us", [0, 1_700_000])
@pytest.mark.parametrize("plan", [EveryFrame(), FramesPerSecond(1)], ids=["every", "1 fps"])
def test_an_object_gives_the_frames_of_the_file(
    bucket: str, video: Path, plan: Any, start_us: int
) -> None:
    put(bucket, "a/gate.mp4", video.read_bytes())
    (media,) = find_object_videos(f"s3://{bucket}/a/gate.mp4")
    assert frames(media, plan, start_us) == frames(video, plan, start_us)
    assert probe(media) == probe(video)


def test_urls_name_objects_folders_and_globs(bucket: str) -> None:
    for key in ("a/1.mp4", "a/b/2.MKV", "a/b/notes.txt", "a/.hidden/3.mp4", "ab/4.mp4", "x y.mp4"):
        put(bucket, key, b"x")
    root = f"s3://{bucket}"
    assert found(f"{root}/a") == [f"{root}/a/1.mp4", f"{root}/a/b/2.MKV"]
    assert found(f"{root}/a/*.mp4") == [f"{root}/a/1.mp4"]
    assert found(f"{root}/**/[12].*") == [f"{root}/a/1.mp4", f"{root}/a/b/2.MKV"]
    assert found(f"{root}/a/b/notes.txt") == [f"{root}/a/b/notes.txt"]
    assert found(f"{root}/x y.mp4?region=us-east-1") == [f"{root}/x y.mp4"]
    for nothing in ("c", "a/b/notes", "*.avi"):
        with pytest.raises(ConfigurationError, match="no video at"):
            found(f"{root}/{nothing}")


def test_a_source_takes_paths_and_urls_each_once(bucket: str, video: Path) -> None:
    put(bucket, "a/gate.mp4", video.read_bytes())
    url = f"s3://{bucket}/a/gate.mp4"
    source = FileSource([str(video), url, f"s3://{bucket}/a", video])
    assert [str(media) for _, media in source.sources] == [str(video), url]
    keys = source.list_parts()
    assert len(set(keys)) == 2
    assert all(key.startswith("gate-") for key in keys)
    assert source.identities()[keys[1]] == url


def test_a_replaced_object_is_not_the_same_media(bucket: str, video: Path) -> None:
    put(bucket, "gate.mp4", video.read_bytes())
    (media,) = find_object_videos(f"s3://{bucket}/gate.mp4")
    before = media.identity()
    assert difference(before, media.identity()) is None
    put(bucket, "gate.mp4", video.read_bytes()[:-1] + b"\x00")
    assert difference(before, media.identity()) == "the file was replaced since the run began"


def test_an_object_that_is_gone_or_no_video_is_bad_media(bucket: str) -> None:
    put(bucket, "not.mp4", b"nothing to see" * 1000)
    (media,) = find_object_videos(f"s3://{bucket}/not.mp4")
    with pytest.raises(MediaError, match=r"cannot open s3://.*/not\.mp4"):
        FrameReader(media, EveryFrame(), stream_key="k")
    gone = ObjectVideo(media.store, media.place / "gone")
    with pytest.raises(MediaError, match="there is no such object"):
        FrameReader(gone, EveryFrame(), stream_key="k")
    with pytest.raises(ConfigurationError, match="there is no such object"):
        gone.identity()


def test_a_playlist_in_disguise_opens_no_local_file(bucket: str, video: Path) -> None:
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile://{video}\n#EXT-X-ENDLIST\n"
    put(bucket, "list.mp4", playlist.encode())
    put(bucket, "concat.mp4", f"ffconcat version 1.0\nfile {video}\n".encode())
    for name in ("list", "concat"):
        (media,) = find_object_videos(f"s3://{bucket}/{name}.mp4")
        with pytest.raises(MediaError):
            FrameReader(media, EveryFrame(), stream_key="k")


def test_a_store_that_goes_away_ends_the_run_and_is_no_damage(
    bucket: str, video: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(bucket, "gate.mp4", video.read_bytes())
    (media,) = find_object_videos(f"s3://{bucket}/gate.mp4")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    away = ObjectVideo(media.place.open_store(), media.place)
    with pytest.raises(StorageError, match=r"gate\.mp4") as caught:
        FrameReader(away, EveryFrame(), stream_key="k")
    assert SECRET not in str(caught.value)


class Breaking:
    """An open object whose store goes away after so many bytes, which come in small pieces."""

    def __init__(self, path: Path, good_bytes: int) -> None:
        self.file = path.open("rb")
        self.good_bytes = good_bytes

    def read(self, size: int) -> bytes:
        piece = self.file.read(min(size, 4096))
        self.good_bytes -= len(piece)
        if self.good_bytes < 0:
            raise StorageError("s3://bucket/gate.mp4: gone")
        return piece

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        self.file.close()


class BreakingVideo:
    name = "gate.mp4"

    def __init__(self, path: Path, good_bytes: int) -> None:
        self.path = path
        self.good_bytes = good_bytes
        self.opened: list[Breaking] = []

    def open(self) -> Breaking:
        self.opened.append(Breaking(self.path, self.good_bytes))
        return self.opened[-1]


def test_an_error_of_the_store_in_the_middle_reaches_the_caller(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    generate(path, VideoSpec(width=320, height=180, fps=10, duration_s=20.0, text=False))
    media = BreakingVideo(path, round(path.stat().st_size * 0.7))
    seen: list[int] = []
    reader = FrameReader(media, EveryFrame(), stream_key="k", max_height=90)
    with reader, pytest.raises(OvershootFlowError, match="gone"):
        _poll_all(reader, seen)
    assert 10 < len(seen) < 200
    assert media.opened[0].file.closed


def _poll_all(reader: FrameReader, seen: list[int]) -> None:
    deadline_s = time.monotonic() + 60
    while not reader.exhausted:
        assert time.monotonic() < deadline_s
        polled = reader.poll(8)
        seen += [each.pts_us for each in polled if isinstance(each, Frame)]
        if not polled:
            time.sleep(0.005)
