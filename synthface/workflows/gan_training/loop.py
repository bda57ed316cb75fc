"""The loop of a generator's training: tick by tick, with measurements, checkpoints, and a step back after a failure."""

import contextlib
import logging
import math
import time
from typing import TYPE_CHECKING, Any

from synthface.core.errors import SynthfaceError, WeightsError
from synthface.workflows.gan_training.bar import training_bar
from synthface.workflows.gan_training.ending import Ending
from synthface.workflows.gan_training.first_process import on_first
from synthface.workflows.gan_training.interruption import Interruption, first_interrupt_waits
from synthface.workflows.gan_training.journals import GanJournals, describe_line
from synthface.workflows.gan_training.pictures import write_pictures
from synthface.workflows.gan_training.watch import timed

if TYPE_CHECKING:
    from gan.training.health import Finding
    from gan.training.monitor import Monitor, Pixels
    from gan.training.trainer import GanTrainer
    from synthface.workflows.gan_training.origin import Origin
    from synthface.workflows.train_gan import Options

logger = logging.getLogger(__name__)

Line = dict[str, Any]

_MORE_ROLLBACKS = 2  # that the message offers to a run that has used up its own


class GanLoop:
    """Trains until time or images are used up.

    Every process runs the loop; the first one measures, judges and writes while the others wait, and tells them
    whether to step back.

    Args:
        options: of the command.
        trainer: new; a checkpoint in the run's folder is loaded into it.
        monitor: of the first process; None elsewhere, or where nothing is measured.
        origin: what the run began with; stands in the header of its generator.
        settings: hash of everything that must not change between parts of one run.
    """

    def __init__(
        self,
        options: "Options",
        trainer: "GanTrainer",
        monitor: "Monitor | None",
        origin: "Origin",
        settings: str,
    ) -> None:
        self.options, self.trainer, self.monitor = options, trainer, monitor
        self.origin, self.settings = origin, settings
        self.progress = {"seconds": 0.0, "attempt": 0.0}
        self._images_a_tick = max(1, round(options.tick_kimg * 1000 / options.training.batch)) * options.training.batch
        self._is_writer = bool(trainer.fabric.is_global_zero)
        self._resume()
        attempt = int(self.progress["attempt"])
        self._journals = on_first(trainer.fabric, GanJournals, options.out, step=trainer.step_index, attempt=attempt)

    def run(self) -> Ending | None:
        """Train to the end; return how it was in the first process, None elsewhere.

        Raises:
            SynthfaceError: the training failed once more than it may roll back.
            KeyboardInterrupt: it was interrupted, in whichever process; the checkpoint is of the step in hand.
        """
        fabric = self.trainer.fabric
        with (
            training_bar(self.options, self.trainer, self.progress["seconds"]) as bar,
            self._journals or contextlib.nullcontext(),
            first_interrupt_waits() as interruption,
        ):
            on_first(fabric, self._keep_beginning)
            last = self._agreed()[0] >= 1
            while not last:
                line = self._tick(bar, interruption)
                grid = on_first(fabric, self._measure, line)
                finding = fabric.broadcast(self._judge(line))
                last = not finding and line["last"]
                if finding:
                    self._step_back(finding, line)
                    self._show(bar)
                else:
                    on_first(fabric, self._record, line, grid)
                fabric.barrier()
                if not last and self._agreed(interruption)[1]:
                    raise KeyboardInterrupt
        return on_first(fabric, self._end)

    def _keep_beginning(self) -> None:
        """See that there is something to go back to when the very first ticks fail."""
        from gan.training.checkpoint import GOOD_FILE_NAME

        if not (self.options.out / GOOD_FILE_NAME).exists():
            self._save(good=True)

    def _end(self) -> Ending:
        """Publish the generator as it is, or, if that looks like a failure, as it last was good."""
        from gan.training.checkpoint import load_checkpoint
        from gan.training.health import suspicion_at_end

        assert self._journals is not None
        seen_images = self.trainer.seen_images
        suspicion = suspicion_at_end(self._journals.lines, self.options.training, self.options.health)
        try:
            good = load_checkpoint(self.options.out, settings=self.settings, good=True) if suspicion else None
        except WeightsError as error:
            logger.warning("%s; the generator is published as it is", error)
            good = None
        if good is not None and good["trainer"]["step"]:
            self.trainer.load_state_dict(good["trainer"])
        self._publish()
        return Ending(seen_images, self.trainer.seen_images, suspicion)

    def _resume(self) -> None:
        from gan.training.checkpoint import load_checkpoint
        from gan.training.retry import begin_attempt

        checkpoint = load_checkpoint(self.options.out, settings=self.settings)
        if checkpoint is None:
            return
        self.trainer.load_state_dict(checkpoint["trainer"])
        self._take_over(checkpoint["progress"])
        begin_attempt(self.trainer, int(self.progress["attempt"]))
        minutes = self.progress["seconds"] / 60
        logger.info("going on after %d images, %.1f minutes", self.trainer.seen_images, minutes)

    def _tick(self, bar: Any, interruption: Interruption) -> Line:
        """Train for one tick, or until a loss is no number or the user interrupts; return its line of metrics."""
        from gan.training.step_metrics import mean_metrics

        options, trainer = self.options, self.trainer
        started, steps = time.monotonic(), []
        done, _ = self._agreed()
        while True:
            steps.append(trainer.step(done))
            elapsed = time.monotonic() - started
            self._show(bar, elapsed)
            done, interrupted = self._agreed(interruption, elapsed)
            last = done >= 1
            diverged = not math.isfinite(steps[-1].loss_generator + steps[-1].loss_discriminator)
            if last or interrupted or diverged or trainer.seen_images % self._images_a_tick == 0:
                break
        self.progress["seconds"] += elapsed
        return {
            "step": trainer.step_index,
            "seen_images": trainer.seen_images,
            "seconds": round(self.progress["seconds"], 1),
            "images_per_second": round(len(steps) * options.training.batch / elapsed, 2),
            "learning_rate": trainer.optimizer_G.param_groups[0]["lr"],
            **mean_metrics(steps),
            "ada_p": trainer.ada.p,
            "r_t": trainer.ada.r_t,
            "last": last,
            **({} if trainer.seen_images % self._images_a_tick == 0 else {"extra": "tick"}),
        }

    def _agreed(self, interruption: Interruption | None = None, elapsed: float = 0.0) -> tuple[float, bool]:
        """Return which share of the run is done, and whether any process is to stop; all processes get the same."""
        from gan.training.gradients import means_over_processes

        wanted = interruption is not None and interruption.is_wanted
        done, interrupted = means_over_processes(self.trainer.fabric, self._done(elapsed), wanted)
        return done, interrupted > 0

    def _done(self, elapsed: float) -> float:
        """Return the share of images or of minutes that is used up, whichever is larger."""
        options, seconds = self.options, self.progress["seconds"] + elapsed
        of_images = 0.0 if options.kimg is None else self.trainer.seen_images / (options.kimg * 1000)
        return max(of_images, 0.0 if options.minutes is None else seconds / (options.minutes * 60))

    def _is_due(self, ticks: int, line: Line) -> bool:
        return ticks > 0 and (line["last"] or self._is_on_grid(ticks, line))

    def _is_on_grid(self, ticks: int, line: Line) -> bool:
        return bool(line["seen_images"] % (ticks * self._images_a_tick) == 0)

    def _measure(self, line: Line) -> "Pixels | None":
        """Measure when it is time to, and at the end; return the pictures' grid where it was drawn."""
        from gan.training.health import weights_are_finite
        from gan.training.monitor import draw_grid

        line["finite_weights"] = weights_are_finite(self.trainer.G, self.trainer.D, self.trainer.G_ema)
        measures = self.monitor is not None and self._is_due(self.options.monitor.ticks, line)
        if not line["finite_weights"] or not (measures or self._is_due(self.options.snapshot_ticks, line)):
            return None
        grid = draw_grid(self.trainer.G_ema, self.options.seed)
        if measures and self.monitor is not None:
            line["monitor"] = timed(self.monitor, self.trainer.G_ema, grid)
            if not self._is_on_grid(self.options.monitor.ticks, line):
                line.setdefault("extra", "measurement")
        return grid

    def _judge(self, line: Line) -> "Finding | None":
        """Return what is wrong, to be told to the other processes."""
        from gan.training.health import diagnose

        if self._journals is None:
            return None
        return diagnose([*self._journals.lines, line], self.options.training, self.options.health)

    def _record(self, line: Line, grid: "Pixels | None") -> None:
        """Write a line that nothing is wrong with, the pictures, and the checkpoint."""
        from gan.training.health import suspicion

        assert self._journals is not None
        self._journals.append(line)
        logger.info(describe_line(line))
        if grid is not None and self._is_due(self.options.snapshot_ticks, line):
            events = self._journals.events()
            write_pictures(self.options.out, grid, line["seen_images"], self._journals.lines, events)
        unwatched = self.monitor is None and self._is_on_grid(self.options.snapshot_ticks, line)
        judged = "extra" not in line and ("monitor" in line or unwatched)
        self._save(good=judged and suspicion(line, self.options.training, self.options.health) is None)

    def _save(self, *, good: bool) -> None:
        from gan.training.checkpoint import keep_as_good, save_checkpoint

        if not self._is_writer:
            return
        state = self.trainer.state_dict()
        progress = {**self.progress, "seen_images": float(self.trainer.seen_images)}
        save_checkpoint(self.options.out, settings=self.settings, trainer=state, progress=progress)
        if good:
            keep_as_good(self.options.out)
            if self.trainer.seen_images:
                self._publish()

    def _publish(self) -> None:
        """Write the generator of the trainer, so that a run that is not over, or never ends well, can be drawn from."""
        from gan.weights import FILE_NAME, save_generator

        info = self.origin.header(self.options, self.trainer)
        save_generator(self.trainer.G_ema, self.options.out / FILE_NAME, info=info)

    def _take_over(self, progress: dict[str, float]) -> None:
        self.progress |= {name: value for name, value in progress.items() if name in self.progress}

    def _show(self, bar: Any, elapsed: float = 0.0) -> None:
        """Move the bar to where the training is: in images, or in seconds where those end it."""
        images = self.trainer.seen_images
        if self.options.kimg is None:
            bar.set_postfix({"images": f"{images:,}"}, refresh=False)
        now = images if self.options.kimg is not None else round(self.progress["seconds"] + elapsed)
        bar.update(min(now, bar.total or now) - bar.n)  # past its end a bar forgets where that was

    def _step_back(self, finding: "Finding", line: Line) -> None:
        """Go back to the last good checkpoint and change what makes a repeat likely; time spent stays spent."""
        from gan.training.checkpoint import load_checkpoint
        from gan.training.optimizers import AFTER_ROLLBACK
        from gan.training.retry import begin_attempt

        attempt = int(self.progress["attempt"]) + 1
        stops = attempt > self.options.health.max_rollbacks
        event = {
            "event": "stop" if stops else "rollback",
            "attempt": attempt,
            **vars(finding),
            "step": line["step"],
            "seen_images": line["seen_images"],
            "monitor": line.get("monitor"),
        }
        checkpoint = load_checkpoint(self.options.out, settings=self.settings, good=True)
        assert checkpoint is not None, "a run keeps a good checkpoint from its beginning"
        if stops:
            self._write_event(event)
            raise SynthfaceError(
                f"training failed ({finding.name}): {finding.what}, after {attempt - 1} rollbacks; "
                f"go on with --resume --health.max_rollbacks {attempt + _MORE_ROLLBACKS}, or start again with "
                f"{finding.remedy}"
            )
        self.trainer.load_state_dict(checkpoint["trainer"])
        begin_attempt(self.trainer, attempt)
        seconds = self.progress["seconds"]
        self._take_over(checkpoint["progress"] | {"seconds": seconds, "attempt": attempt})
        event |= {"to_step": self.trainer.step_index, "to_seen_images": self.trainer.seen_images}
        event |= {"learning_rate_factor": AFTER_ROLLBACK**attempt}
        on_first(self.trainer.fabric, self._record_step_back, event)

    def _record_step_back(self, event: Line) -> None:
        """Write that the run went back: from here on that counts, however it ends."""
        assert self._journals is not None
        self._write_event(event)
        self._save(good=False)
        self._journals.cut(self.trainer.step_index)

    def _write_event(self, event: Line) -> None:
        if self._journals:
            self._journals.add_event(event)
            logger.warning("%s (%s): %s", event["event"], event["name"], event["what"])
