// The microphone: captured and played by an AudioWorklet, enhanced by the worker in between.

/**
 * Start it for a model of `rate` Hz and `hop` samples a frame.
 *
 * `report` gets {waiting, gaps}: samples between capture and playback at the moment, and how often nothing
 * was there to be played. Returns {port, latency, listen, stop}: the port of the worker's side; the seconds
 * that the browser's own buffers add, as it says; a switch ("before", "after" or "none"); the end.
 */
export async function openMicrophone(rate, hop, report) {
  if (!navigator.mediaDevices) throw new Error("this browser gives no microphone to a page that is not on localhost");
  // What browsers do to a microphone would be enhanced twice, or leave nothing to enhance.
  const media = await navigator.mediaDevices.getUserMedia({
    audio: { channelCount: 1, echoCancellation: false, noiseSuppression: false, autoGainControl: false },
  });
  const context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
  const end = () => {
    media.getTracks().forEach((track) => track.stop());
    return context.close();
  };
  try {
    await context.audioWorklet.addModule("worklet.js");
    const { port1, port2 } = new MessageChannel();
    const bridge = new AudioWorkletNode(context, "bridge", {
      numberOfInputs: 1,
      numberOfOutputs: 1,
      outputChannelCount: [1],
      channelCount: 1,
      channelCountMode: "explicit",
      processorOptions: { hop },
    });
    bridge.port.postMessage({ worker: port1 }, [port1]);
    bridge.port.onmessage = ({ data }) => report(data);
    context.createMediaStreamSource(media).connect(bridge).connect(context.destination);
    await context.resume();
    return {
      port: port2,
      get latency() {
        const input = media.getAudioTracks()[0].getSettings().latency ?? 0;
        return input + context.baseLatency + (context.outputLatency || 0);
      },
      listen: (name) => bridge.port.postMessage({ aims: { before: +(name === "before"), after: +(name === "after") } }),
      stop: () => {
        bridge.port.postMessage({ end: true });
        return end();
      },
    };
  } catch (error) {
    await end();
    if (error.name === "NotSupportedError")
      throw new Error(`this browser cannot take the microphone at ${rate} Hz; use a file, or another browser`);
    throw error;
  }
}
