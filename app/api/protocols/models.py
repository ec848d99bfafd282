"""The encoder and the generator as named models, as both serving protocols address them.

a path's {name} and {version} --model_of--> ProtocolModel --run--> the service
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from app.api.formats.images import images_from_array
from app.api.formats.latents import latents_from_array
from app.api.protocols.tensors import Array, Shape
from app.api.requests import Request
from app.errors import InvalidLatent, InvalidParameter, NotFound
from app.imaging.preparation import AUTO
from app.imaging.types import FloatArray
from app.inference.inputs import ImageInput
from app.inference.service import Service
from app.models.loaded_model import LoadedModel

Value = Array | list[bytes]
Outputs = dict[str, FloatArray]  # in the order of the model's outputs
IsDisconnected = Callable[[], bool]  # whether the caller has hung up


@dataclass(frozen=True)
class ProtocolModel:
    """The encoder or the generator, in the served version."""

    name: str
    version: int
    takes: str  # the name of its input
    shape: Shape  # of that; -1 is the number of rows
    gives: dict[str, Shape]
    run: Callable[[Service, LoadedModel, Value, IsDisconnected], Awaitable[Outputs]]

    def input_of(self, values: Mapping[str, Value]) -> Value:
        """Return the model's one input from the tensors of a request, by name.

        Raises:
            InvalidParameter: the input is missing or has another shape, or there is a tensor of another name.
        """
        if values.keys() != {self.takes}:
            got = ", ".join(map(repr, values))[:80]
            raise InvalidParameter(f"The one input of {self.name} is {self.takes!r}; got {got}.")
        return self.checked(values[self.takes])

    def checked(self, value: Value) -> Value:
        """Return `value` if its shape is that of the model's input, or if it is a list of files.

        Raises:
            InvalidParameter: the array has another shape, or no rows.
        """
        if isinstance(value, list) or (value.shape[1:] == self.shape[1:] and len(value)):
            return value
        wanted = ", ".join(("n", *map(str, self.shape[1:])))
        raise InvalidParameter(f"{self.takes} must have the shape [{wanted}], n at least 1; got {list(value.shape)}.")


def model_of(request: Request) -> ProtocolModel:
    """Return the model that the path names.

    Raises:
        NotFound: there is no model of this name, or the version is not served.
    """
    name = request.path_params["name"]
    found = {model.name: model for model in models(request.model)}
    model = found.get(name)
    if model is None:
        raise NotFound(f"There is no model {name[:80]!r}; there is {' and '.join(found)}.")
    version = request.path_params.get("version", str(model.version))
    if version != str(model.version):
        raise NotFound(f"Version {version[:20]!r} of {name} is not served; version {model.version} is.")
    return model


def models(loaded: LoadedModel) -> tuple[ProtocolModel, ProtocolModel]:
    """Return the encoder and the generator of a loaded version."""
    version, engine = loaded.version, loaded.engine
    image, z = (-1, *engine.image_shape), (-1, engine.latent_dim)
    return (
        ProtocolModel("encoder", version, "image", image, {"z_mean": z, "z_log_var": z}, _encode),
        ProtocolModel("generator", version, "z", z, {"image": image}, _generate),
    )


async def _encode(service: Service, loaded: LoadedModel, value: Value, is_disconnected: IsDisconnected) -> Outputs:
    """Encode images; picture files are preprocessed as those of /encode."""
    found: list[ImageInput] = [*value] if isinstance(value, list) else [images_from_array(value)]
    posterior = await service.encode(loaded, found, AUTO, is_disconnected)
    return posterior._asdict()


async def _generate(service: Service, loaded: LoadedModel, value: Value, is_disconnected: IsDisconnected) -> Outputs:
    if isinstance(value, list):
        raise InvalidLatent("z is numbers, not files.")
    if value.dtype.kind != "f":
        raise InvalidLatent("z is FP16, FP32 or FP64.")
    z = latents_from_array(value, loaded.engine.latent_dim)
    return {"image": await service.generate_unrounded(loaded, z, is_disconnected)}
