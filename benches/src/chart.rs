//! Bar charts as SVG. They lie on a light card of their own, so that they read on a dark page too.

use std::fmt::Write as _;
use std::path::Path;

use crate::Done;

pub(crate) struct Chart {
    pub title: String,
    pub subtitle: String,
    pub sections: Vec<Section>,
}

/// Bars that share a scale.
pub(crate) struct Section {
    pub title: String,
    pub bars: Vec<Bar>,
}

pub(crate) struct Bar {
    pub label: String,
    pub note: String,
    pub value: f64,
    /// Stands at the bar's end.
    pub text: String,
    pub kind: Kind,
}

#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Ours,
    Floor,
    Other,
}

const WIDTH: usize = 860;
const MARGIN: usize = 28;
const BARS_AT: usize = 256;
const BAR_WIDTH_MAX: f64 = 420.0;
const HEAD: usize = 84;
const ROW: usize = 40;
const SECTION_TITLE: usize = 30;
const SECTION_GAP: usize = 14;

const STYLE: &str = "\
text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,sans-serif;fill:#1f2328}\
.title{font-size:18px;font-weight:600}.small{font-size:12px;fill:#656d76}\
.section{font-size:13px;font-weight:600;fill:#424a53}.label{font-size:13px;font-weight:600}\
.text{font-size:13px;font-variant-numeric:tabular-nums}";

impl Chart {
    pub(crate) fn draw(&self, path: &Path) -> Done<()> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, self.svg()?)?)
    }

    fn svg(&self) -> Result<String, std::fmt::Error> {
        let mut parts = String::new();
        let mut y = HEAD;
        for (place, section) in self.sections.iter().enumerate() {
            y += if place == 0 { 0 } else { SECTION_GAP };
            if !section.title.is_empty() {
                let title = escaped(&section.title);
                writeln!(parts, r#"<text class="section" x="{MARGIN}" y="{}">{title}</text>"#, y + 14)?;
                y += SECTION_TITLE;
            }
            y = section.draw(&mut parts, y)?;
        }
        let height = y + MARGIN - 8;
        let (title, subtitle) = (escaped(&self.title), escaped(&self.subtitle));
        Ok(format!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" viewBox="0 0 {WIDTH} {height}" role="img">
<title>{title}</title>
<style>{STYLE}</style>
<rect x="0.5" y="0.5" width="{}" height="{}" rx="10" fill="#fcfcfb" stroke="#d8dbdf"/>
<text class="title" x="{MARGIN}" y="38">{title}</text>
<text class="small" x="{MARGIN}" y="60">{subtitle}</text>
{parts}</svg>
"##,
            WIDTH - 1,
            height - 1
        ))
    }
}

impl Section {
    fn draw(&self, parts: &mut String, mut y: usize) -> Result<usize, std::fmt::Error> {
        let most = self.bars.iter().map(|bar| bar.value).fold(f64::MIN_POSITIVE, f64::max);
        for bar in &self.bars {
            let width = (bar.value / most * BAR_WIDTH_MAX).max(1.0);
            let text_at = width + BARS_AT as f64 + 8.0;
            let (label, note, text) = (escaped(&bar.label), escaped(&bar.note), escaped(&bar.text));
            let color = bar.kind.color();
            writeln!(parts, r#"<text class="label" x="{MARGIN}" y="{}">{label}</text>"#, y + 13)?;
            writeln!(parts, r#"<text class="small" x="{MARGIN}" y="{}">{note}</text>"#, y + 28)?;
            let shape = format!(r#"x="{BARS_AT}" y="{}" width="{width:.1}" height="22" rx="3""#, y + 4);
            writeln!(parts, r#"<rect {shape} fill="{color}"/>"#)?;
            writeln!(parts, r#"<text class="text" x="{text_at:.1}" y="{}">{text}</text>"#, y + 20)?;
            y += ROW;
        }
        Ok(y)
    }
}

impl Kind {
    fn color(self) -> &'static str {
        match self {
            Self::Ours => "#b4532a",
            Self::Floor => "#c9ced4",
            Self::Other => "#7b93a8",
        }
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A whole number with commas between thousands.
pub(crate) fn thousands(number: f64) -> String {
    let digits = format!("{number:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::thousands;

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!([999.0, 1000.0, 1_234_567.0].map(thousands), ["999", "1,000", "1,234,567"]);
    }
}
