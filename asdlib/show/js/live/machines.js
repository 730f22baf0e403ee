// The voices of the six machine types, one for one those of asdlib/park/factory_machines.py and toy_machines.py. Of the
// values p of a machine's parameters, the nuisance env, a generator and the number n of samples: the sound (n,).
// Draws come in the same order as there, so that the same draws make the same sound.
asdlive.voices = (function () {
  const s = asdlive.sounds, { RATE, TURN, made } = s;
  const turning = (perSecond, env, rng, n, depth) => {
    const wander = s.drift(rng, n, depth), turned = s.turns(wander.map((x) => perSecond * env.speed * x));
    return turned.map((x) => x + env.start);
  };
  const from0 = (cycles) => cycles.map((x) => x - cycles[0]);
  const scaled = (cycles, factor) => cycles.map((x) => factor * x);

  function fan(p, env, rng, n) {
    const turned = turning(9.5, env, rng, n, 0.004);
    const blades = s.harmonics(scaled(turned, 11), s.rolloff(p.blade_pass, p.blade_rolloff, 10), rng);
    const air = s.tiltedNoise(rng, n, p.flow_slope);
    const hits = s.everyCycle(from0(turned), 3.58, rng, 0.01), bearing = s.ring(s.impactTrain(n, hits, p.bearing), 3100, 0.002);
    const sound = made(n, (i) => {
      const sway = 1 + p.sway * Math.cos(TURN * turned[i]);
      return sway * blades[i] + env.load * p.flow * sway * air[i] + bearing[i];
    });
    return s.body(sound, [p.casing, 2.76 * p.casing], 8, 1.5);
  }

  function pump(p, env, rng, n) {
    const turned = turning(6, env, rng, n, 0.003);
    const vanes = s.harmonics(scaled(turned, 29), s.rolloff(p.vane_pass, 0.6, 8), rng);
    const whine = s.harmonics(scaled(turned, 164), [p.motor_whine, 0.4 * p.motor_whine], rng);
    const stream = s.bandNoise(rng, n, p.pipe, 0.45), hiss = s.bandNoise(rng, n, 5200, 0.35);
    const pops = s.poissonTimes(rng, n / RATE, p.bubbles), strengths = rng.exponential(0.7, pops.length);
    const bubbles = s.ring(s.impactTrain(n, pops, strengths), p.bubble_pitch, 0.0015);
    const sound = made(n, (i) => {
      const pulse = 1 + p.pulsation * Math.cos(TURN * turned[i]);
      return vanes[i] + whine[i] + env.load * p.fluid * pulse * stream[i] + p.seal_hiss * hiss[i] + bubbles[i];
    });
    return s.body(sound, [410, 1530], 6, 0.8);
  }

  function slider(p, env, rng, n) {
    const swing = turning(0.95, env, rng, n, 0.005).map((cycle) => Math.sin(TURN * cycle));
    const velocity = swing.map((x) => Math.abs(Math.tanh(2.2 * x)) / Math.tanh(2.2)), travelled = s.turns(velocity);
    const pitch = s.turns(made(n, (i) => 760 * velocity[i] * (1 + 0.01 * p.belt_wobble * Math.sin(TURN * 6 * travelled[i]))));
    const whine = s.harmonics(pitch, s.rolloff(p.whine, 0.55, 4), rng), contact = s.bandNoise(rng, n, p.rail, 0.5), ends = [];
    for (let i = 0; i < n - 1; i++) if (Math.sign(swing[i]) !== Math.sign(swing[i + 1])) ends.push(i / RATE);
    const stops = s.ring(s.impactTrain(n, ends, p.stop), 310, p.stop_decay);
    const shakes = s.poissonTimes(rng, n / RATE, 60), hard = rng.exponential(1, shakes.length);
    const strengths = shakes.map((time, i) => p.rattle * hard[i] * s.between(velocity, time * RATE));
    const rattle = s.ring(s.impactTrain(n, shakes, strengths), 2450, 0.003);
    const sound = made(n, (i) => {
      const balls = 1 + p.ball_pass * Math.cos(TURN * 9 * travelled[i]);
      return velocity[i] * whine[i] + 0.6 * env.load * velocity[i] ** 1.5 * balls * contact[i] + stops[i] + rattle[i];
    });
    return s.body(sound, [530, 1900], 5, 0.6);
  }

  function valve(p, env, rng, n) {
    const period = 0.42 / env.speed, count = Math.floor(n / RATE / period) + 3, late = rng.normal(count);
    const opens = Array.from({ length: count }, (_, i) => (i - 1 + env.start) * period + 0.002 * late[i]), slow = rng.normal(count);
    const closes = opens.map((time, i) => time + p.hold * (1 + 0.01 * slow[i]));
    const knock = s.ring(s.impactTrain(n, opens, 1), p.open_ring, p.ring_down);
    const shuts = s.impactTrain(n, closes, p.close), again = s.impactTrain(n, closes.map((time) => time + p.bounce), 0.5 * p.close);
    const clack = s.ring(made(n, (i) => shuts[i] + again[i]), p.close_ring, p.ring_down);
    const open = made(n, (i) => opens.some((time) => i / RATE - time > 0 && i / RATE - time < p.hold) ? 1 : 0);
    const air = s.bandNoise(rng, n, 4200, 0.5), ahead = 31, behind = 32; // the mean of 64 samples around each
    let flowing = 0;
    for (let i = 0; i < ahead; i++) flowing += open[i] || 0;
    const sound = made(n, (i) => {
      flowing += (open[i + ahead] || 0) - (open[i - behind - 1] || 0);
      const share = p.leak + (1 - p.leak) * flowing / 64;
      return 2 * knock[i] + 2 * clack[i] + env.load * p.hiss * share * air[i];
    });
    return s.body(sound, [880, 2600], 5, 0.6);
  }

  function ToyCar(p, env, rng, n) {
    const motor = turning(40, env, rng, n, 0.006), wheel = scaled(motor, 1 / 9.5);
    const mesh = s.harmonics(scaled(motor, 12), s.rolloff(p.mesh, p.mesh_rolloff, 8), rng);
    const sliding = s.bandNoise(rng, n, 3600, 0.7), rolling = s.tiltedNoise(rng, n, 5);
    const hits = s.everyCycle(from0(wheel), 2, rng, 0.003), teeth = s.ring(s.impactTrain(n, hits, p.tooth), 2050, 0.004);
    const sound = made(n, (i) => {
      const sway = 1 + p.shaft_sway * Math.cos(TURN * motor[i] / 3.4) + p.wheel_sway * Math.cos(TURN * wheel[i]);
      return sway * mesh[i] + env.load * p.brushes * sway * sliding[i] + env.load * 0.3 * rolling[i] + teeth[i];
    });
    return s.body(sound, [p.shell, 2.3 * p.shell], 7, 1.2);
  }

  function ToyConveyor(p, env, rng, n) {
    const motor = turning(18, env, rng, n, 0.005), belt = scaled(motor, 1 / 7);
    const gears = s.harmonics(scaled(motor, 22), s.rolloff(p.gears, 0.6, 7), rng);
    const hum = s.harmonics(made(n, (i) => i * 100 / RATE), [0.12, 0.06, 0.04], rng);
    const rubbing = s.bandNoise(rng, n, p.belt_tone, 0.6);
    const thumps = s.everyCycle(from0(belt), 1, rng), seam = s.ring(s.impactTrain(n, thumps, p.seam), 240, 0.03);
    const knocks = s.everyCycle(from0(motor), 0.25, rng, 0.01);
    const pulley = s.ring(s.impactTrain(n, knocks, p.pulley), p.pulley_ring, 0.004);
    const sound = made(n, (i) => {
      const flap = 1 + p.flap * Math.cos(TURN * 2 * belt[i]);
      return gears[i] + hum[i] + env.load * p.friction * flap * rubbing[i] + seam[i] + pulley[i];
    });
    return s.body(sound, [480, 1250], 6, 0.8);
  }

  return { fan, pump, slider, valve, ToyCar, ToyConveyor };
})();
