"""The filter in a pipeline of Pipecat, behind the input of a transport."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import numpy as np
import pytest

import sese
from sese.core.install import install_command


def test_without_pipecat_the_message_says_what_to_install() -> None:
    code = "import sys; sys.modules['pipecat'] = None; import sese.integrations.pipecat"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith(install_command("pipecat"))


def in_pipeline(options: dict, rate: int, script: list) -> np.ndarray:
    """Send chunks of samples and control frames through the input of a transport; return what it passes on.

    Each part is sent when all before it has arrived, as audio overtakes control frames.
    """
    from pipecat.frames.frames import EndFrame, InputAudioRawFrame
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.worker import PipelineParams, PipelineWorker
    from pipecat.processors.frame_processor import FrameProcessor
    from pipecat.transports.base_input import BaseInputTransport
    from pipecat.transports.base_transport import TransportParams
    from pipecat.workers.runner import WorkerRunner

    from sese.integrations.pipecat import SeseFilter

    arrived: list[InputAudioRawFrame] = []
    controlled: list[object] = []

    class Filter(SeseFilter):
        async def process_frame(self, frame) -> None:
            await super().process_frame(frame)
            controlled.append(frame)

    class Input(BaseInputTransport):
        """The input of a transport in this process, whose audio comes from the pipeline's beginning."""

        async def start(self, frame) -> None:
            await super().start(frame)
            await self.set_transport_ready(frame)

    class Sink(FrameProcessor):
        async def process_frame(self, frame, direction) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, InputAudioRawFrame):
                arrived.append(frame)
            await self.push_frame(frame, direction)

    transport = Input(TransportParams(audio_in_enabled=True, audio_in_filter=Filter(**options)))
    worker = PipelineWorker(
        Pipeline([transport, Sink()]),
        cancel_on_idle_timeout=False,
        enable_rtvi=False,
        params=PipelineParams(audio_in_sample_rate=rate),
    )
    started = asyncio.Event()

    @worker.event_handler("on_pipeline_started")
    async def _(worker, frame) -> None:
        started.set()

    async def send() -> None:
        await started.wait()
        audio, controls = 0, 0
        for part in script:
            if isinstance(part, np.ndarray):
                audio += 1
                await worker.queue_frame(InputAudioRawFrame(part.tobytes(), rate, 1))
            else:
                controls += 1
                await worker.queue_frame(part)
            while len(arrived) < audio or len(controlled) < controls:
                await asyncio.sleep(0.001)
        await worker.queue_frame(EndFrame())

    async def run() -> None:
        runner = WorkerRunner()
        await runner.add_workers(worker)
        await asyncio.wait_for(asyncio.gather(runner.run(), send()), timeout=120)

    asyncio.run(run())
    assert [frame.num_frames for frame in arrived] == [len(frame.audio) // 2 for frame in arrived]
    return np.frombuffer(b"".join(frame.audio for frame in arrived), np.int16)


@pytest.mark.parametrize("rate", [8000, 16000, 24000])
def test_in_a_pipeline_no_sample_is_lost(rate: int) -> None:
    pytest.importorskip("pipecat", reason="the filter needs Pipecat: extra pipecat")
    from pipecat.frames.frames import FilterEnableFrame

    signal = np.random.default_rng(0).integers(-3000, 3000, rate * 6 // 5).astype(np.int16)
    chunks = np.split(signal, 60)  # 20 ms each
    late = sese.load("sese-2").stream(rate).latency_samples
    script = [*chunks[:20], FilterEnableFrame(False), *chunks[20:40], FilterEnableFrame(True), *chunks[40:]]
    got = in_pipeline({"budget": "fixed:0.06"}, rate, script)
    assert len(got) == len(signal)
    off = slice(20 * rate // 50, 40 * rate // 50)
    np.testing.assert_array_equal(got[late:][off], signal[off])
    first = signal[: off.start].astype(np.float32) / 32768
    expected = sese.load("sese-2", budget="fixed:0.06").stream(rate)
    expected = np.concatenate([expected.feed(first), expected.flush()]) * 32768
    np.testing.assert_allclose(got[late : late + off.start], expected, atol=1.01)


def test_settings_change_in_a_pipeline() -> None:
    pytest.importorskip("pipecat", reason="the filter needs Pipecat: extra pipecat")
    from pipecat.frames.frames import FilterUpdateSettingsFrame

    signal = np.random.default_rng(0).integers(-3000, 3000, 16000).astype(np.int16)
    chunks = np.split(signal, 50)
    script = [
        *chunks[:25],
        FilterUpdateSettingsFrame({"max_attenuation_db": 0.0}),  # everything passes
        FilterUpdateSettingsFrame({"budget": "much"}),  # is logged, and changes nothing
        *chunks[25:],
    ]
    got = in_pipeline({}, 16000, script)
    assert len(got) == len(signal)
    np.testing.assert_allclose(got[8000 + 512 :], signal[8000:-512], atol=1)
    assert np.abs(got[:8000]).mean() < 0.5 * np.abs(signal).mean()  # noise alone is lowered before


def test_the_filter_opens_and_closes() -> None:
    pytest.importorskip("pipecat", reason="the filter needs Pipecat: extra pipecat")
    from sese.integrations.pipecat import SeseFilter

    async def run() -> None:
        filter = SeseFilter("sese-2")
        assert (filter.latency_samples, filter.speech_probability) == (None, None)
        await filter.start(16000)
        assert filter.latency_samples == 512
        assert len(await filter.filter(bytes(6400))) == 6400
        assert filter.speech_probability < 0.5
        await filter.stop()
        assert await filter.filter(b"ab") == b"ab"

    asyncio.run(run())
