const GAP = 8;

/** Put a box beside its button where style sheets cannot: below, or above if there is more room, its end at the button's end. */
export function place(box: HTMLElement, button: Element, rtl: boolean): void {
  if (CSS.supports('position-area', 'block-end')) return;
  const at = button.getBoundingClientRect();
  const above = at.top - 2 * GAP;
  const below = innerHeight - at.bottom - 2 * GAP;
  box.style.maxHeight = `${Math.min(640, Math.max(above, below))}px`;
  const { offsetWidth: width, offsetHeight: height } = box;
  const top = below >= Math.min(height, above) ? at.bottom + GAP : at.top - GAP - height;
  const left = rtl ? at.left : at.right - width;
  box.style.top = `${Math.max(GAP, top)}px`;
  box.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
}
