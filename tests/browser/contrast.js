// Texts that are hard to read: WCAG 2's contrast of each visible text with what lies under it, below 4.5 to 1 (3 to 1 for
// large text and icons). Disabled controls are exempt, as in WCAG 1.4.3. Also how many texts were looked at.
() => {
    const parse = (text) => {
        const [r, g, b, a = 1] = text.match(/[\d.]+/g).map(Number);
        return text.startsWith("color(") ? [255 * r, 255 * g, 255 * b, a] : [r, g, b, a];
    };
    const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3])).concat(1);
    const luminance = (color) => {
        const [r, g, b] = color.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (a, b) => {
        const [low, high] = [luminance(a), luminance(b)].sort((p, q) => p - q);
        return (high + 0.05) / (low + 0.05);
    };
    const parents = function* (element) {
        for (let e = element; e; e = e.parentElement) yield [e, getComputedStyle(e)];
    };
    // the parents' grounds; a parent of which the text hangs out, as a slider's value does, is not under it
    const under = (element, box) => {
        const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
        const layers = [];
        for (const [e, style] of parents(element)) {
            const b = e.getBoundingClientRect();
            const isBeside = x < b.left || x > b.right || y < b.top || y > b.bottom;
            const mayHang = style.overflowY === "visible" && style.display !== "contents" && e.parentElement?.parentElement;
            if (!(isBeside && mayHang)) layers.unshift(parse(style.backgroundColor));
        }
        return layers.reduce((ground, layer) => over(layer, ground), [255, 255, 255, 1]);
    };
    const found = new Set();
    let count = 0;
    const judge = (element, text, box, color, style) => {
        const isShown = element.checkVisibility({ visibilityProperty: true }) && box.width > 2 && box.height > 2;
        const isInView = box.right > 0 && box.left < innerWidth;
        if (!isShown || !isInView || element.closest("[disabled], [aria-disabled=true]")) return;
        const opacity = [...parents(element)].reduce((all, [, s]) => all * Number(s.opacity), color[3]);
        if (opacity === 0 || !/[\p{L}\p{N}]/u.test(text)) return;
        count += 1;
        const size = parseFloat(style.fontSize);
        const isIcon = element.closest("[data-testid=stIconMaterial], [data-testid=stExpanderIcon]");
        const isLarge = isIcon || size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
        const ground = under(element, box);
        const value = ratio(over([...color.slice(0, 3), opacity], ground), ground);
        if (value < (isLarge ? 3 : 4.5)) found.add(`${value.toFixed(2)}: ${text.trim().slice(0, 60)}`);
    };
    const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
        const element = node.parentElement;
        if (element.closest("style, script, noscript, template")) continue;
        const range = document.createRange();
        range.selectNodeContents(node);
        const style = getComputedStyle(element);
        const isDrawn = element.closest("svg");
        const color = parse(isDrawn ? style.fill : style.color);
        if (isDrawn) color[3] *= Number(style.fillOpacity);
        judge(element, node.textContent, range.getBoundingClientRect(), color, style);
    }
    for (const field of document.querySelectorAll("textarea, input:is([type=text], [type=number], :not([type]))")) {
        const style = getComputedStyle(field, field.value ? null : "::placeholder");
        judge(field, field.value || field.placeholder, field.getBoundingClientRect(), parse(style.color), style);
    }
    return { count, pale: [...found] };
};
