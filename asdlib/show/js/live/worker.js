// The work of a page's detector, off the page's own thread: a message in, an answer with the same number out.
asdlive.work = function () {
  let detector, park, facts;

  const jobs = {
    // Made once: the detector of a run, and the simulated park.
    load: function (data) {
      detector = asdlive.detector(data.run);
      facts = data.park;
      park = facts && asdlive.park(facts);
      return { machines: detector.machines, thresholds: detector.thresholds, features: detector.features };
    },
    // A clip of the park, and what the detector says of it. The same moment has the same draws, whatever else is turned.
    clip: function ({ moment, ...what }) {
      const { samples } = detector.features;
      const rng = park.generator(moment), own = park.generator(moment + 2 ** 31);
      const values = what.exact ? facts[what.machine.split("/")[0]].machines[what.machine.split("/")[1]] : park.healthy(what.machine, rng);
      return judged(park.kept(park.clip({ ...what, values, n: samples, rng, own })), what.machine);
    },
    // What the detector says of a sound, as one of a machine.
    sound: ({ waveform, machine }) => judged(waveform, machine)
  };

  function judged(waveform, machine) {
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
