"""One training step of the class-conditional StyleGAN2-ADA, and the state that a resumed run needs."""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gan.augment import augment
from gan.config import NetworkConfig, TrainingConfig
from gan.networks.build_discriminator import FrozenFeatures, build_discriminator
from gan.networks.generator import Generator
from gan.networks.mapping import set_class_strength
from gan.sampling.side_by_side import side_by_side
from gan.training.ada import AdaController
from gan.training.batches import BatchSource, MicroBatch
from gan.training.ema import averaged_copy, decay, update_average
from gan.training.generator_term import GeneratorTerm
from gan.training.gradients import apply_gradients, sum_all_over_processes, sum_over_processes
from gan.training.latents import Latents, draw_latents
from gan.training.losses import discriminator_loss, generator_loss, r1_penalty
from gan.training.optimizers import adam, set_rates
from gan.training.path_length import PathLengthMean, path_length_penalty
from gan.training.step_metrics import StepMetrics, settled
from synthface.core.errors import ConfigError
from synthface.core.seeds import derive_seed

T = TypeVar("T")
Figures = dict[str, Tensor]
Work = Callable[[int, MicroBatch], tuple[Tensor, Figures]]  # number and inputs of a micro-batch -> its loss, figures


class GanTrainer:
    """Networks, optimisers, moving average and augmentation controller of one run.

    Every random number of step t comes from (seed, t, micro-batch), and gradients are summed over micro-batches
    wherever these were computed: neither an interruption nor, but for rounding in sums, the number of processes changes
    the run. On a CPU and uncompiled, the micro-batches of a process run side by side, each on its share of the threads.

    Args:
        network: sizes.
        training: settings.
        n_classes: classes in the data.
        source: the data.
        fabric: Lightning Fabric, already launched.
        seed: the run's seed.
        term: a further player in the generator's loss, such as the identity player.
        features: the frozen network of a feature discriminator, where the settings ask for one.

    Raises:
        ConfigError: more processes than micro-batches, or groups that do not fit into one.
    """

    def __init__(
        self,
        network: NetworkConfig,
        training: TrainingConfig,
        n_classes: int,
        source: BatchSource,
        fabric: Any,
        seed: int,
        term: GeneratorTerm | None = None,
        features: FrozenFeatures | None = None,
    ) -> None:
        self.config, self.source, self.fabric, self.term = training, source, fabric, term
        if training.micro_batch % (network.group_size or training.micro_batch):
            raise ConfigError(
                f"--network.group_size {network.group_size} must divide --training.micro_batch {training.micro_batch}"
            )
        n_micro = training.batch // training.micro_batch
        if fabric.world_size > n_micro:
            raise ConfigError(
                f"--devices: {fabric.world_size} processes share {n_micro} micro-batches; "
                "lower --training.micro_batch or raise --training.batch so that each has work"
            )
        with torch.random.fork_rng(devices=[]):  # layers initialise from the global state: lend it our seed
            torch.manual_seed(derive_seed(seed, "initial weights"))
            self.G = Generator(network, n_classes)
            self.D = build_discriminator(network, training, n_classes, features)
        for module in (self.G, self.D):
            module.to(device=fabric.device)
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        self.G_ema = averaged_copy(self.G)
        self.G.synthesis.half_from = training.half_from
        self.ada = AdaController(training.ada)
        self.path_length = PathLengthMean(training.path_length.decay)
        self.optimizer_G = adam(self.G, training.learning_rate, training.path_length.interval * self._has_path_length)
        self.optimizer_D = adam(self.D, training.learning_rate, training.r1_interval * self._has_r1)
        self.features_sha256 = features.sha256 if features is not None and training.features.mode != "off" else ""
        self.step_index = 0
        self._replaced: dict[str, int] = {}
        self.average_starts_here = True
        self._synthesize = _compiled(self.G.synthesis, training.compile)
        self._discriminate = _compiled(self.D, training.compile)

    @property
    def seen_images(self) -> int:
        """Real images shown to the discriminator so far."""
        return self.step_index * self.config.batch

    @property
    def _has_path_length(self) -> bool:
        return self.config.path_length.weight > 0

    @property
    def _has_r1(self) -> bool:
        return self.config.r1_gamma > 0

    def step(self, done: float = 0.0) -> StepMetrics:
        """Update the generator, the discriminator, each with its penalty when due, the moving average and p.

        Args:
            done: share of the run that is over, for a cooldown of the learning rate; the same in every process.
        """
        for optimizer in (self.optimizer_G, self.optimizer_D):
            set_rates(optimizer, self.config.cooldown.factor(done))
        self._show_classes(self.seen_images, (self.G, self.D))
        self._replaced = {}
        loss, extra, length = None, dict[str, float](), None
        if self.seen_images >= self.config.warmup_kimg * 1000:
            loss, extra = self.generator_step()
            if self._has_path_length and self.step_index % self.config.path_length.interval == 0:
                length = self.path_length_step()
        found = self.discriminator_step()
        penalty = self.penalty_step() if self._has_r1 and self.step_index % self.config.r1_interval == 0 else None
        self.step_index += 1
        half_life = self.config.ema_kimg * 1000
        if self.average_starts_here and self.config.ema_rampup:
            half_life = min(half_life, self.seen_images * self.config.ema_rampup)
        update_average(self.G_ema, self.G, decay(self.config.batch, half_life))
        self.ada.observe(found["signs"] * self.config.batch, self.config.batch)
        return StepMetrics(
            loss_generator=found["generator"] if loss is None else loss,
            loss_discriminator=found["loss"],
            score_real=found["real"],
            score_fake=found["fake"],
            r1=penalty,
            path_length=length,
            extra=extra,
            replaced=self._replaced,
        )

    def generator_step(self) -> tuple[float, dict[str, float]]:
        """Update the generator; return its adversarial loss, and the figures of a further player."""

        def work(micro: int, batch: MicroBatch) -> tuple[Tensor, Figures]:
            labels = self._to(batch.fake_labels)
            latents = self._latents(batch)
            images = self._synthesize(latents.ws, latents.noise)
            loss = adversarial = generator_loss(self._discriminate(self._augment(images, batch), labels))
            reported = Figures()
            if self.term is not None:
                first = micro * self.config.micro_batch
                value, reported = self.term(images, labels, self.seen_images, first=first)
                loss = adversarial + value
            return loss, {"loss": adversarial, "mean w": latents.mean_w, **reported}

        figures = self._update(self.G, self.optimizer_G, "generator", work)
        self.G.mapping.track_average(figures.pop("mean w"))
        if self.term is not None:
            self.term.after_step(self.seen_images, self._sum)
        return float(figures.pop("loss")), settled(figures)

    def path_length_step(self) -> float:
        """Regularise the generator; uncompiled, as is the penalty. Returns the mean path length."""
        config = self.config.path_length

        def work(_: int, batch: MicroBatch) -> tuple[Tensor, Figures]:
            latents = self._latents(batch)
            n = max(1, len(latents.ws) // config.shrink)
            noise = [part[:n] for part in latents.noise]
            penalty, length = path_length_penalty(
                self.G.synthesis, latents.ws[:n], noise, batch.generator, self.path_length.value
            )
            return penalty * (config.weight * config.interval), {"length": length, "mean w": latents.mean_w}

        figures = self._update(self.G, self.optimizer_G, "path length", work)
        self.G.mapping.track_average(figures["mean w"])
        self.path_length.observe(float(figures["length"]))
        return float(figures["length"])

    def discriminator_step(self) -> dict[str, float]:
        """Update the discriminator.

        Returns:
            Its ``loss``, what the ``generator``'s would be on the same images, the mean of the ``signs`` of scores of
            real images, and the mean scores of ``real`` and ``fake`` ones.
        """

        def work(_: int, batch: MicroBatch) -> tuple[Tensor, Figures]:
            # New images, not those that have just moved the generator: with these it learns visibly more slowly.
            with torch.no_grad():
                latents = self._latents(batch)
                fake_images = self._synthesize(latents.ws, latents.noise)
            images = torch.cat([self._augment(self._to(batch.images), batch), self._augment(fake_images, batch)])
            labels = self._to(torch.cat([batch.labels, batch.fake_labels]))
            real, fake = self._discriminate(images, labels, parts=2).chunk(2)
            loss = discriminator_loss(real, fake)
            scores = {"signs": real.sign().mean(), "real": real.mean(), "fake": fake.mean()}
            return loss, {"loss": loss, "generator": generator_loss(fake), **scores}

        return _floats(self._update(self.D, self.optimizer_D, "discriminator", work))

    def penalty_step(self) -> float:
        """R1 on augmented real images; uncompiled, since compiled graphs have no second derivative."""

        def work(_: int, batch: MicroBatch) -> tuple[Tensor, Figures]:
            images = self._to(batch.images).requires_grad_(True)
            penalty = r1_penalty(images, self.D(self._augment(images, batch), self._to(batch.labels)))
            return penalty * (self.config.r1_gamma * self.config.r1_interval), {"penalty": penalty}

        return float(self._update(self.D, self.optimizer_D, "penalty", work)["penalty"])

    def _update(self, module: nn.Module, optimizer: torch.optim.Optimizer, phase: str, work: Work) -> Figures:
        """Train one network on a phase's micro-batches; return the means of their figures over all processes."""
        for network in (self.G, self.D):
            network.requires_grad_(network is module)
        parameters, totals = list(module.parameters()), Figures()
        micros = range(self.fabric.global_rank, self.config.batch // self.config.micro_batch, self.fabric.world_size)

        def one(micro: int) -> tuple[tuple[Tensor | None, ...], Figures]:
            loss, figures = work(micro, self.source.micro_batch(self.step_index, micro, phase))
            gradients = torch.autograd.grad(loss * self._share, parameters, allow_unused=True)
            return gradients, {name: figure.detach() * self._share for name, figure in figures.items()}

        for gradients, figures in self._in_order(one, micros):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                if gradient is not None and parameter.grad is None:
                    parameter.grad = torch.empty_like(parameter).copy_(gradient)  # laid out as Adam expects it
                elif gradient is not None:
                    parameter.grad.add_(gradient)  # type: ignore[union-attr]  # not None, see above
            totals = {name: figure + totals.get(name, 0) for name, figure in figures.items()}
        n_replaced = apply_gradients(self.fabric, optimizer, module)
        if n_replaced:
            self._replaced[phase] = n_replaced
        return sum_all_over_processes(self.fabric, totals)

    def _in_order(self, one: Callable[[int], T], micros: range) -> Iterator[T]:
        # Frozen networks may keep notes of the batch they have seen last, and compiling is not for several threads.
        is_shared = self.term is None and self.config.features.mode == "off" and not self.config.compile
        return side_by_side(one, micros, self.fabric.device, most=len(micros) if is_shared else 1)

    def _latents(self, batch: MicroBatch) -> Latents:
        return draw_latents(self.G, batch, self.config.style_mixing, self.fabric.device)

    def _augment(self, images: Tensor, batch: MicroBatch) -> Tensor:
        return augment(images, self.ada.p, batch.generator, self.config.ada.groups)

    @property
    def _share(self) -> float:
        return self.config.micro_batch / self.config.batch

    def _sum(self, value: Tensor) -> Tensor:
        return sum_over_processes(self.fabric, value)

    def _to(self, value: Tensor) -> Tensor:
        return value.to(self.fabric.device, non_blocking=True)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs; readable with ``weights_only=True``."""
        state: dict[str, Any] = {"step": self.step_index}
        if self.features_sha256:  # for a training that begins with this one's discriminator
            state["features"] = self.features_sha256
        return state | {name: part.state_dict() for name, part in self._parts().items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.step_index = int(state["step"])
        for name, part in self._parts().items():
            part.load_state_dict(state[name])
        if self.step_index:  # as the last step left it: a run that ends here is written with it
            self._show_classes(self.seen_images - self.config.batch, (self.G, self.D, self.G_ema))

    def _show_classes(self, seen_images: int, networks: tuple[nn.Module, ...]) -> None:
        """Tell networks how much of the class they see, where a transition is on."""
        if self.config.transition.end_kimg:
            for network in networks:
                set_class_strength(network, self.config.transition.strength(seen_images))

    def _parts(self) -> dict[str, Any]:
        names = ("G", "D", "G_ema", "optimizer_G", "optimizer_D", "ada", "path_length", "term")
        return {name: part for name in names if (part := getattr(self, name)) is not None}


def _compiled(module: nn.Module, is_on: bool) -> Callable[..., Any]:
    return torch.compile(module, dynamic=False) if is_on else module


def _floats(figures: Figures) -> dict[str, float]:
    return {name: float(figure) for name, figure in figures.items()}
