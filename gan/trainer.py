"""One training step of the class-conditional StyleGAN2-ADA, and the state that a resumed run needs."""

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gan.ada import AdaController
from gan.augment import augment
from gan.batches import BatchSource, MicroBatch
from gan.config import NetworkConfig, TrainingConfig
from gan.discriminator import Discriminator
from gan.ema import averaged_copy, decay, update_average
from gan.generator import Generator
from gan.losses import discriminator_loss, generator_loss, r1_penalty
from synthface.core.seeds import derive_seed


@dataclass
class StepMetrics:
    """Means over one step's images; None where the step did not compute it."""

    loss_generator: float
    loss_discriminator: float
    score_real: float
    score_fake: float
    r1: float | None


class GanTrainer:
    """Networks, optimisers, moving average and augmentation controller of one run.

    Every random number of step t comes from (seed, t, micro-batch), and gradients are summed over micro-batches
    wherever these were computed: neither an interruption nor the number of processes changes the run.

    Args:
        network: sizes.
        training: settings.
        n_classes: classes in the data.
        source: the data.
        fabric: Lightning Fabric, already launched.
        seed: the run's seed.
    """

    def __init__(
        self,
        network: NetworkConfig,
        training: TrainingConfig,
        n_classes: int,
        source: BatchSource,
        fabric: Any,
        seed: int,
    ) -> None:
        self.config, self.source, self.fabric = training, source, fabric
        with torch.random.fork_rng(devices=[]):  # layers initialise from the global state: lend it our seed
            torch.manual_seed(derive_seed(seed, "initial weights"))
            self.G = Generator(network, n_classes)
            self.D = Discriminator(network, n_classes)
        for module in (self.G, self.D):
            module.to(device=fabric.device)
            module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # missing in torch's stubs
        self.G_ema = averaged_copy(self.G)
        self.ada = AdaController(training.ada)
        self.optimizer_G = torch.optim.Adam(
            self.G.parameters(), lr=training.learning_rate, betas=(0.0, 0.99), fused=True
        )
        # One extra step every `interval`: rate and memory shrink to match (lazy regularisation, 1912.04958, app. B).
        ratio = training.r1_interval / (training.r1_interval + 1)
        self.optimizer_D = torch.optim.Adam(
            self.D.parameters(), lr=training.learning_rate * ratio, betas=(0.0, 0.99**ratio), fused=True
        )
        self.step_index = 0
        compiler: Callable[[Any], Any] = torch.compile if training.compile else lambda function: function
        self._synthesize = compiler(self.G.synthesis)
        self._discriminate = compiler(self.D)

    @property
    def seen_images(self) -> int:
        """Real images shown to the discriminator so far."""
        return self.step_index * self.config.batch

    def step(self) -> StepMetrics:
        """Update the discriminator, its penalty when due, the generator, the moving average and p."""
        loss_G = self._generator_step()
        loss_D, signs, real, fake = self._discriminator_step()
        penalty = self._penalty_step() if self.step_index % self.config.r1_interval == 0 else None
        self.step_index += 1
        half_life = min(self.config.ema_kimg * 1000, self.seen_images * self.config.ema_rampup)
        update_average(self.G_ema, self.G, decay(self.config.batch, half_life))
        self.ada.observe(signs * self.config.batch, self.config.batch)
        return StepMetrics(loss_G, loss_D, real, fake, penalty)

    def _generator_step(self) -> float:
        self.G.requires_grad_(True)
        self.D.requires_grad_(False)
        total = self._zero(1)
        for batch in self._micro_batches("generator"):
            logits = self._discriminate(
                augment(self._fake(batch), self.ada.p, batch.generator), self._to(batch.fake_labels)
            )
            loss = generator_loss(logits)
            (loss * self._share).backward()
            total[0] += loss.detach() * self._share
        self._apply(self.optimizer_G, self.G)
        return float(self._sum(total)[0])

    def _discriminator_step(self) -> tuple[float, float, float, float]:
        self.G.requires_grad_(False)
        self.D.requires_grad_(True)
        totals = self._zero(4)
        for batch in self._micro_batches("discriminator"):
            with torch.no_grad():
                fake_images = self._fake(batch)
            fake = self._discriminate(augment(fake_images, self.ada.p, batch.generator), self._to(batch.fake_labels))
            real_images = augment(self._to(batch.images), self.ada.p, batch.generator)
            real = self._discriminate(real_images, self._to(batch.labels))
            loss = discriminator_loss(real, fake)
            (loss * self._share).backward()
            means = torch.stack(
                [loss.detach(), real.detach().sign().mean(), real.detach().mean(), fake.detach().mean()]
            )
            totals += means * self._share
        self._apply(self.optimizer_D, self.D)
        loss_D, signs, real_score, fake_score = self._sum(totals).tolist()
        return loss_D, signs, real_score, fake_score

    def _penalty_step(self) -> float:
        """R1 on augmented real images; uncompiled, since compiled graphs have no second derivative."""
        total = self._zero(1)
        for batch in self._micro_batches("penalty"):
            images = self._to(batch.images).requires_grad_(True)
            penalty = r1_penalty(images, self.D(augment(images, self.ada.p, batch.generator), self._to(batch.labels)))
            (penalty * (self.config.r1_gamma * self.config.r1_interval * self._share)).backward()
            total[0] += penalty.detach() * self._share
        self._apply(self.optimizer_D, self.D)
        return float(self._sum(total)[0])

    def _fake(self, batch: MicroBatch) -> Tensor:
        n, generator = len(batch.fake_labels), batch.generator
        z = torch.randn(2, n, self.G.z_dim, generator=generator)
        mixed = torch.rand(n, generator=generator) < self.config.style_mixing
        cut = torch.where(
            mixed, torch.randint(1, self.G.synthesis.n_w, (n,), generator=generator), self.G.synthesis.n_w
        )
        noise = [self._to(torch.randn(n, 1, r, r, generator=generator)) for r in self.G.synthesis.noise_resolutions]
        embedding = self.G.mapping.class_embedding(self._to(batch.fake_labels))
        w_first, w_second = (self.G.mapping(self._to(part), embedding) for part in z)
        if torch.is_grad_enabled():
            self.G.mapping.track_average(w_first)
        late = self._to(torch.arange(self.G.synthesis.n_w)[None] >= cut[:, None])[..., None]
        return self._synthesize(torch.where(late, w_second[:, None], w_first[:, None]), noise)

    def _micro_batches(self, phase: str) -> Iterable[MicroBatch]:
        n_micro = self.config.batch // self.config.micro_batch
        for micro in range(self.fabric.global_rank, n_micro, self.fabric.world_size):
            yield self.source.micro_batch(self.step_index, micro, phase)

    @property
    def _share(self) -> float:
        return self.config.micro_batch / self.config.batch

    def _apply(self, optimizer: torch.optim.Optimizer, module: nn.Module) -> None:
        """Sum gradients over processes, replace what is not finite, and take a step."""
        gradients = [parameter.grad for parameter in module.parameters() if parameter.grad is not None]
        if self.fabric.world_size > 1:
            flat = self._sum(torch.cat([gradient.flatten() for gradient in gradients]))
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view_as(gradient))
        for gradient in gradients:
            torch.nan_to_num(gradient, nan=0.0, posinf=1e5, neginf=-1e5, out=gradient)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _sum(self, value: Tensor) -> Tensor:
        return self.fabric.all_reduce(value, reduce_op="sum") if self.fabric.world_size > 1 else value

    def _to(self, value: Tensor) -> Tensor:
        return value.to(self.fabric.device, non_blocking=True)

    def _zero(self, n: int) -> Tensor:
        return torch.zeros(n, device=self.fabric.device)

    def state_dict(self) -> dict[str, Any]:
        """Return everything that a resumed run needs; readable with ``weights_only=True``."""
        return {
            "step": self.step_index,
            "G": self.G.state_dict(),
            "D": self.D.state_dict(),
            "G_ema": self.G_ema.state_dict(),
            "optimizer_G": self.optimizer_G.state_dict(),
            "optimizer_D": self.optimizer_D.state_dict(),
            "ada": self.ada.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a saved state."""
        self.step_index = int(state["step"])
        for name in ("G", "D", "G_ema", "optimizer_G", "optimizer_D", "ada"):
            getattr(self, name).load_state_dict(state[name])

    def agree(self, stop: bool) -> bool:
        """Return whether any process wants to stop, so that all stop after the same step."""
        return bool(self._sum(torch.tensor(float(stop), device=self.fabric.device)) > 0)


def mean_metrics(steps: list[StepMetrics]) -> dict[str, float | None]:
    """Average each metric over the steps that have it."""
    names = [field.name for field in dataclasses.fields(StepMetrics)]
    columns = {name: [value for step in steps if (value := getattr(step, name)) is not None] for name in names}
    return {name: sum(column) / len(column) if column else None for name, column in columns.items()}
