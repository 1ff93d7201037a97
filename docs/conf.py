"""Sphinx's settings: notebooks through MyST-NB, shown with the outputs they hold. `make docs` builds the site."""
import configparser
import gc
import re
from functools import cache
from html import unescape
from itertools import groupby
from pathlib import Path

import numpy as np
from docutils.nodes import SkipNode
from latex2mathml.converter import convert
from PIL import Image
from pygments.lexers import PythonLexer
from pygments.token import Name, Operator, Punctuation, String, Text, Whitespace
from scipy import ndimage
from sphinx.search.en import SearchEnglish

gc.set_threshold(50_000, 20, 20)        # Sphinx makes millions of nodes, which stay: a fifth of its time would go into looking for some that could go
ini = configparser.ConfigParser(delimiters=['='])
ini.read(Path(__file__).parent.parent/'settings.ini')
cfg = ini['DEFAULT']

project, author, release = cfg['title'], cfg['author'], cfg['version']
copyright = cfg['copyright'].split(' onwards')[0] + f', {author}'
html_title = project
html_theme = 'furo'
html_theme_options = {'source_repository': cfg['git_url'], 'source_branch': cfg['branch'], 'source_directory': 'nbs/'}
html_static_path = ['_static', 'images']  # pages show drawings of docs/images in <picture>, too
templates_path = ['_templates']
html_css_files = ['site.css', 'figures.css', 'touch.css']
html_js_files = [('touch.js', {'defer': 'defer'})]
html_favicon = '_static/favicon.svg'
html_copy_source = False
html_search_scorer = str(Path(__file__).parent/'scorer.js')
html_math_renderer = 'mathml'

extensions = ['myst_nb', 'sphinx_copybutton']
copybutton_selector = 'div:not(.output) > div.highlight > pre'      # code, and not what it printed
copybutton_exclude = '.linenos, .gp, .go'
root_doc = 'index'
nb_execution_mode = 'off'
nb_merge_streams = True
nb_code_prompt_show = nb_code_prompt_hide = 'The code'
nb_render_markdown_format = 'myst'  # outputs may hold tables
myst_enable_extensions = ['dollarmath', 'amsmath', 'attrs_inline']
myst_heading_anchors = 3
suppress_warnings = ['mystnb.unknown_mime_type', 'myst.header']


def math(display):
    "A visitor that writes an equation as MathML"
    def visit(writer, node):
        writer.body.append(convert(node.astext(), display=display))
        raise SkipNode
    return visit


def edit_nothing(app, pagename, templatename, context, doctree):
    "Pages of the reference are made from the package, and those about it lie elsewhere: there is no source file to edit"
    if pagename.startswith('reference/') or pagename.endswith('/index') or pagename in ('changelog', 'security', 'licenses', 'site'): context['page_source_suffix'] = context['theme_source_repository'] = None


class Lean(PythonLexer):
    "Python with marks around what has a colour of its own only: half of the page's bytes, and of a browser's work"
    def get_tokens(self, text, **options):
        plain = lambda kind: kind in (Name, Name.Namespace, Name.Builtin, Name.Builtin.Pseudo, Operator, Punctuation, Whitespace, String.Interpol)
        merged = lambda kind: Text if plain(kind) else String if kind in (String.Affix, String.Single, String.Double) else kind
        for kind, tokens in groupby(super().get_tokens(text, **options), lambda token: merged(token[0])):
            yield kind, ''.join(value for _, value in tokens)


class English(SearchEnglish):
    "Sphinx's index of words, which looks at each word once"
    def __init__(self, options):
        super().__init__(options)
        self.stem = cache(super().stem)


def lean_body(app, pagename, templatename, context, doctree):
    "Without marks that nothing looks at; code within a sentence may break after a space or a slash, and code that scrolls takes the keyboard"
    inline = lambda m: '<code class="literal">' + re.sub('</?span[^>]*>', '', m[1]).replace('/', '/<wbr>') + '</code>'
    body = re.sub(r'<code class="docutils literal notranslate">(.*?)</code>', inline,
                  context.get('body', ''), flags=re.DOTALL)
    body = re.sub(r'<(tr class="row-(?:odd|even)"|th class="head")>', lambda m: f'<{m[1][:2]}>', body)
    scrolls = lambda m: any(len(unescape(re.sub('<[^>]+>', '', line))) > 100 for line in m[2].split('\n'))
    body = re.sub(r'(<div class="cell_input(?:(?!<pre).)*<pre)>(.*?</pre>)', lambda m: m[1] + ' tabindex="0"'*scrolls(m) + f'>{m[2]}', body, flags=re.DOTALL)
    context['body'] = re.sub(r'<(t[dh](?: [^>]*)?)><p>((?:(?!</?p>|</t[dh]>).)*)</p>\n?</t', r'<\1>\2</t', body, flags=re.DOTALL)


def lean_menu(app, pagename, templatename, context, doctree):
    "The menu before Furo makes it, without what takes a fifth of it and is said in site.css; a caption is no heading of the page"
    if not (toctree := context.get('toctree')): return
    def lean(html):
        html = html.replace('class="reference internal"', 'class="reference"').replace(' role="heading"', '')
        return html.replace('<li class="toctree-l1">', '<li>').replace('</li>\n', '</li>')
    context['toctree'] = lambda **how: lean(toctree(**how | dict(collapse=True)))


def fold_menu(app, pagename, templatename, context, doctree):
    "Each group of the menu folds away, but for the one that the page is in"
    group = re.compile(r'<p [^>]*class="caption"[^>]*><span class="caption-text">(.*?)</span></p>')
    first, *parts = group.split(context.get('furo_navigation_tree') or '')
    groups = zip(parts[::2], parts[1::2])
    here = lambda title, pages: 'current-page' in pages or pagename == 'index' and title == 'Tutorials'
    context['furo_navigation_tree'] = first + ''.join(
        f'<details{" open" if here(title, pages) else ""}><summary class="caption">{title}</summary>{pages}</details>' for title, pages in groups)


def figures(app, pagename, templatename, context, doctree):
    "A figure's further panels need no words of their own; its photos keep their colours where the page is dark"
    body = re.sub(r'(<img alt="([^"]+)"[^>]*/>\s*)((?:<img alt="\2"[^>]*/>\s*)+)', lambda m: m[1] + m[3].replace(f'alt="{m[2]}"', 'alt=""'), context.get('body', ''))
    sources = {name: uri for uri, name in app.builder.images.items()}                           # outputs are named by their digests
    def kept(m):
        if not (shape := photos(Path(app.srcdir, sources[m[1]]))): return m[0]
        copy = re.sub('alt="[^"]*"', 'alt="" aria-hidden="true"', m[0]).replace('/>', f'style="clip-path: polygon({shape})" />')
        return f'<span class="photos">{m[0]}{copy}</span>'
    context['body'] = re.sub(r'<img [^>]*src="[^"]*_images/(\w{64}\.jpe?g)"[^>]*/>', kept, body)


@cache
def photos(path):
    "Where the photos in a figure are: the corners of a polygon, in percent"
    with Image.open(path) as file: pixels = np.asarray(file.convert('RGB'))
    (height, width), points = pixels.shape[:2], []
    spots, _ = ndimage.label((pixels < 240).any(2))
    for spot, place in enumerate(ndimage.find_objects(spots), 1):
        high, wide = (s.stop - s.start for s in place)
        if min(high, wide) < 40 or (spots[place] == spot).mean() < .6: continue
        (top, bottom), (left, right) = ((100*(s.start + 1)/n, 100*(s.stop - 1)/n) for s, n in zip(place, (height, width)))
        points.append([(left, top), (right, top), (right, bottom), (left, bottom), (left, top)])
    round_trip = [corner for box in points for corner in box] + [box[0] for box in points[-2::-1]]
    return ', '.join(f'{x:.2f}% {y:.2f}%' for x, y in round_trip)


def dense(html):
    "A page without the indentation and the empty lines of the theme's templates; what is within the article stays as it is"
    before, start, rest = html.partition('<article')
    article, end, after = rest.rpartition('</article>')
    return re.sub(r'\n\s+', '\n', before) + start + article + end + re.sub(r'\n\s+', '\n', after)


def weigh(app, error):
    "Say what the site weighs, here and on its own page, without maps of the theme's sources, which nobody debugs here"
    if error or app.builder.name != 'html': return
    for theirs in Path(app.outdir, '_static').rglob('*.map'): theirs.unlink()
    for page in Path(app.outdir).rglob('*.html'): page.write_text(dense(page.read_text(encoding='utf-8')), encoding='utf-8')
    weight = sum(f.stat().st_size for f in site_files(Path(app.outdir)))
    page = Path(app.outdir)/'site.html'
    page.write_text(page.read_text(encoding='utf-8').replace('SITE-WEIGHT', f'{weight/1e6:.1f} MB'), encoding='utf-8')
    print(f'The site weighs {weight/1e6:.1f} MB.')


def site_files(folder):
    "The files that are served, without Sphinx's own notes"
    return [f for f in folder.rglob('*') if f.is_file() and not any(part[0] == '.' for part in f.relative_to(folder).parts)]


def setup(app):
    "Browsers draw MathML by themselves: pages need no script from elsewhere"
    app.connect('html-page-context', edit_nothing)
    app.connect('html-page-context', lean_body)
    app.connect('html-page-context', figures)
    app.connect('html-page-context', lean_menu, priority=400)
    app.connect('html-page-context', fold_menu, priority=600)
    app.connect('build-finished', weigh)
    app.add_lexer('python', Lean)
    app.add_search_language(English)
    app.add_html_math_renderer('mathml', (math('inline'), None), (math('block'), None))
