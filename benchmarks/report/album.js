"use strict";
// Shows one image of an album at a time, of those that the filters choose, and in it the objects that they choose.
document.querySelectorAll(".album").forEach((album) => {
  const find = (selector, within = album) => within.querySelector(selector);
  const findAll = (selector, within = album) => [...within.querySelectorAll(selector)];
  const pictures = findAll(".picture");
  const thumbnails = findAll(".strip button");
  const filters = find(".filters");
  const { class: label, score, kind, disagreement } = filters.elements;
  let chosen = [];
  let current = 0;

  // A missed object is one that nothing of a sufficient score covers.
  const counts = ({ dataset }, threshold) =>
    dataset.kind === "missed" ? Number(dataset.covered) < threshold : Number(dataset.score) >= threshold;
  const isOfClass = ({ dataset }) => label.value === "" || dataset.class === label.value;
  const isOfKind = ({ dataset }) =>
    kind.value === "" ||
    dataset.kind === kind.value ||
    (kind.value === "error" && dataset.kind !== "correct" && dataset.kind !== "crowd");

  function tally(names) {
    const numbers = new Map();
    names.forEach((name) => numbers.set(name, (numbers.get(name) ?? 0) + 1));
    return [...numbers].map(([name, number]) => `${number} ${name}`).join(", ") || "nothing";
  }

  // Hides the objects of an image that the filters leave out; tells whether the image has any that they choose.
  function filterObjects(picture) {
    const annotated = findAll(".truth .object", picture);
    annotated.forEach((object) => object.toggleAttribute("hidden", !isOfClass(object)));
    const inSight = annotated.filter((object) => !object.hasAttribute("hidden"));
    find(".truth .counts", picture).textContent = `${inSight.length} annotated`;
    let any = kind.value === "" && inSight.length > 0;
    findAll(".framework", picture).forEach((panel) => {
      const shown = findAll(".object", panel).filter((object) => {
        const isShown = counts(object, Number(score.value)) && isOfClass(object) && isOfKind(object);
        object.toggleAttribute("hidden", !isShown);
        return isShown;
      });
      find(".counts", panel).textContent = tally(shown.map((object) => object.dataset.kind));
      any ||= shown.length > 0;
    });
    return any;
  }

  function disagreesEnough({ dataset }) {
    return disagreement.value === "none" || Number(dataset.disagreement) > Number(disagreement.value);
  }

  function filter() {
    find(".threshold").textContent = Number(score.value).toFixed(2);
    const filtersObjects = label.value !== "" || kind.value !== "";
    const before = chosen[current];
    chosen = [];
    pictures.forEach((picture, number) => {
      const any = filterObjects(picture);
      if ((any || !filtersObjects) && disagreesEnough(picture)) chosen.push(number);
    });
    show(Math.max(chosen.indexOf(before), 0));
  }

  function show(place, focus = false) {
    current = Math.min(Math.max(place, 0), Math.max(chosen.length - 1, 0));
    const number = chosen[current];
    pictures.forEach((picture, each) => (picture.hidden = each !== number));
    thumbnails.forEach((thumbnail, each) => {
      thumbnail.hidden = !chosen.includes(each);
      thumbnail.setAttribute("aria-selected", String(each === number));
      thumbnail.tabIndex = each === number ? 0 : -1;
    });
    find(".previous").disabled = current === 0;
    find(".next").disabled = current >= chosen.length - 1;
    find(".count").textContent = chosen.length
      ? `image ${current + 1} of ${chosen.length}` + (chosen.length < pictures.length ? ` (${pictures.length} in all)` : "")
      : "no image fits the filters";
    const thumbnail = thumbnails[number];
    if (!thumbnail) return;
    if (focus) thumbnail.focus({ preventScroll: true });
    // Only the row itself is moved: the page stays where the reader has it.
    const strip = thumbnail.parentElement;
    strip.scrollLeft = thumbnail.offsetLeft - strip.offsetLeft - (strip.clientWidth - thumbnail.clientWidth) / 2;
  }

  const places = { ArrowLeft: () => current - 1, ArrowRight: () => current + 1, Home: () => 0, End: () => chosen.length - 1 };
  album.addEventListener("keydown", (event) => {
    const isPlain = !(event.ctrlKey || event.metaKey || event.altKey || event.shiftKey);
    // In a control of the filters the arrow keys change its value.
    if (!isPlain || !(event.key in places) || event.target.closest(".filters")) return;
    event.preventDefault();
    show(places[event.key](), true);
  });
  thumbnails.forEach((thumbnail, number) => thumbnail.addEventListener("click", () => show(chosen.indexOf(number), true)));
  find(".previous").addEventListener("click", () => show(current - 1));
  find(".next").addEventListener("click", () => show(current + 1));
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filter();
});
