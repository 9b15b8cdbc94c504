const GAP = 8;

/** Put a box beside its button where style sheets cannot: below if it fits there, its end at the button's end. */
export function place(box: HTMLElement, button: Element, rtl: boolean): void {
  if (CSS.supports('position-area', 'block-end')) return;
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const fits = at.bottom + GAP + height <= innerHeight || at.top < height + GAP;
  const top = fits ? at.bottom + GAP : at.top - GAP - height;
  const left = rtl ? at.left : at.right - width;
  box.style.top = `${Math.max(GAP, top)}px`;
  box.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
}
