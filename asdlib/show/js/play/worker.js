// Training off the page's own thread: a message in, and how things stand out. Every message names its run.
asdplay.work = function () {
  const jobs = {
    load: (what) => { data = asdplay.unpacked(what); },
    begin: (what) => { training = asdplay.training(data, what); },
    go: (steps) => { for (let i = 0; i < steps; i++) training.next(); }
  };
  let data, training;

  self.onmessage = ({ data: { run, job, what } }) => {
    try {
      jobs[job](what);
      if (training) self.postMessage({ run, look: training.look() });
    } catch (error) {
      self.postMessage({ run, error: String(error) });
    }
  };
};

// Numbers that travelled as bytes: 127 stands for "largest" standard deviations.
asdplay.unpacked = function ({ width, machines, largest, known, asked }) {
  const bytes = (text) => Int8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const clips = (part) => ({ ...part, x: Float64Array.from(bytes(part.x), (byte) => byte * largest / 127) });
  return { width, machines, known: clips(known), asked: clips(asked) };
};
