// The work of a page's detector, off the page's own thread: a message in, an answer with the same number out.
asdlive.work = function () {
  let front, detector, park, features;
  let last = {}; // the surroundings of the last clip, which are the same in the next one unless another moment is asked for

  const jobs = {
    // Made once: the front end, the detector of a run if there is one, and the simulated park.
    load: function (data) {
      ({ features } = data.run);
      front = asdlive.front(features);
      detector = data.run.machines && asdlive.detector(data.run);
      park = data.park && asdlive.park(data.park);
      return { features, machines: detector && detector.machines, thresholds: detector && detector.thresholds };
    },
    // A clip of the park, and what the detector says of it. The same moment has the same draws, whatever else is turned.
    clip: function ({ moment, ...what }) {
      const n = features.samples, rng = park.generator(moment), { room_decay, background_slope, events } = what.env;
      const key = [moment, room_decay, background_slope, events].join();
      if (key !== last.key) last = { key, around: park.surroundings(park.generator(moment + 2 ** 31), what.env, n) };
      return judged(park.kept(park.clip({ ...what, n, rng, around: last.around })), what.machine);
    },
    // What the detector says of a sound, as one of a machine.
    sound: ({ waveform, machine }) => judged(waveform, machine)
  };

  function judged(waveform, machine) {
    if (!detector) return { waveform, logMel: front.logMel(front.fitted(waveform)) };
    const { scores, embedding, logMel, tgram } = detector.hear(waveform);
    const all = detector.machines.flatMap((name) => detector.neighbours(embedding, name).slice(0, 5));
    const around = all.sort((a, b) => a.distance - b.distance).slice(0, 5); // of whichever machine
    return { waveform, scores, embedding, logMel, tgram, around, neighbours: detector.neighbours(embedding, machine) };
  }

  self.onmessage = ({ data: { number, job, what } }) => {
    const begun = performance.now();
    try {
      self.postMessage({ number, answer: { ...jobs[job](what), milliseconds: performance.now() - begun } });
    } catch (error) {
      self.postMessage({ number, error: String(error) });
    }
  };
};
